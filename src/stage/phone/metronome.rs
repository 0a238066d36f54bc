//! Waking callers on time. A runtime's own timers are exact to a millisecond, which is more than audio takes through a
//! server; where the system has timers as files, these are asked instead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Wakes whoever waits on it, on beats a quarter of a millisecond apart, so that a thousand callers do not mean a wake-up
/// for each of their frames. Clones share it. It stops with the runtime that it was made in.
#[derive(Clone, Debug)]
pub struct Metronome {
    began: Instant,
    waiting: Arc<Mutex<Waiting>>,
}

const BEAT_US: u64 = 250;

#[derive(Debug, Default)]
struct Waiting {
    /// When, and who by place in `waiters`. An entry whose waiter has another time by now is stale.
    queue: BinaryHeap<Reverse<(Instant, usize)>>,
    waiters: Vec<Waiter>,
    free: Vec<usize>,
    /// The beat: woken when the first of the queue becomes an earlier one.
    beat: Option<Waker>,
    /// What the beat's timer is set to.
    set: Option<Instant>,
    over: bool,
}

#[derive(Debug, Default)]
struct Waiter {
    at: Option<Instant>,
    waker: Option<Waker>,
}

impl Metronome {
    /// One that beats on a task of the runtime it is made in.
    ///
    /// # Errors
    /// The system gives no timer.
    pub fn start() -> io::Result<Metronome> {
        let metronome = Metronome { began: Instant::now(), waiting: Arc::default() };
        let timer = timer::Timer::new()?;
        let beating = metronome.clone();
        tokio::spawn(async move { beating.beat(timer).await });
        Ok(metronome)
    }

    /// The first beat at or after `at`.
    pub fn beat_after(&self, at: Instant) -> Instant {
        let us = at.saturating_duration_since(self.began).as_nanos().div_ceil(1_000) as u64;
        self.began + Duration::from_micros(us.next_multiple_of(BEAT_US))
    }

    /// A way to wait on it again and again.
    pub fn alarm(&self) -> Alarm {
        let mut waiting = self.lock();
        let place = waiting.free.pop().unwrap_or_else(|| {
            waiting.waiters.push(Waiter::default());
            waiting.waiters.len() - 1
        });
        Alarm { metronome: self.clone(), place }
    }

    async fn beat(self, mut timer: timer::Timer) {
        // Whoever waits when the runtime ends is dropped with it.
        while let Ok(()) = self.next_beat(&mut timer).await {}
        self.lock().over = true;
    }

    /// Until the first of the queue is due, whichever that is by then; wakes all that are due.
    async fn next_beat(&self, timer: &mut timer::Timer) -> io::Result<()> {
        poll_fn(|cx| {
            loop {
                let mut waiting = self.lock();
                let now = Instant::now();
                let mut due = Vec::new();
                while let Some(&Reverse((at, place))) = waiting.queue.peek() {
                    let stale = waiting.waiters.get(place).is_none_or(|waiter| waiter.at != Some(at));
                    if !stale && at > now {
                        break;
                    }
                    waiting.queue.pop();
                    if !stale {
                        let waiter = &mut waiting.waiters[place];
                        waiter.at = None;
                        due.extend(waiter.waker.take());
                    }
                }
                let first = waiting.queue.peek().map(|Reverse((at, _))| *at);
                waiting.beat = Some(cx.waker().clone());
                waiting.set = first;
                drop(waiting);
                due.into_iter().for_each(Waker::wake);
                match timer.poll(first, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on a [`Metronome`].
#[derive(Debug)]
pub struct Alarm {
    metronome: Metronome,
    place: usize,
}

impl Alarm {
    /// Until the first beat at or after `at`. A later call takes the place of an earlier one that was dropped.
    pub fn until(&mut self, at: Instant) -> impl Future<Output = ()> + Send + '_ {
        let at = self.metronome.beat_after(at);
        poll_fn(move |cx| {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            let mut waiting = self.metronome.lock();
            if waiting.over {
                return Poll::Pending;
            }
            let waiter = &mut waiting.waiters[self.place];
            match &mut waiter.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => waiter.waker = Some(cx.waker().clone()),
            }
            if waiter.at != Some(at) {
                waiter.at = Some(at);
                waiting.queue.push(Reverse((at, self.place)));
                if waiting.set.is_none_or(|set| at < set) {
                    waiting.set = Some(at);
                    let beat = waiting.beat.take();
                    drop(waiting);
                    beat.into_iter().for_each(Waker::wake);
                }
            }
            Poll::Pending
        })
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut waiting = self.metronome.lock();
        waiting.waiters[self.place] = Waiter::default();
        waiting.free.push(self.place);
    }
}

/// How callers wait for their slots.
#[derive(Debug, Default)]
pub(crate) enum Pace {
    /// By the runtime's timers.
    #[default]
    Runtime,
    /// By a metronome.
    Metronome(Alarm),
}

impl Pace {
    /// When a stream that opens at `at` begins: its slots are on beats then.
    pub(crate) fn begin(&self, at: Instant) -> Instant {
        match self {
            Pace::Runtime => at,
            Pace::Metronome(alarm) => alarm.metronome.beat_after(at),
        }
    }

    pub(crate) async fn until(&mut self, at: Instant) {
        match self {
            Pace::Runtime => tokio::time::sleep_until(at.into()).await,
            Pace::Metronome(alarm) => alarm.until(at).await,
        }
    }
}

#[cfg(target_os = "linux")]
mod timer {
    use super::{Duration, Instant, Poll, io};
    use std::os::fd::OwnedFd;
    use std::task::{Context, ready};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timer of the system.
    pub(super) struct Timer {
        file: AsyncFd<OwnedFd>,
        set: Option<Instant>,
    }

    impl Timer {
        pub(super) fn new() -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // Deprecated for types that lie about their descriptor; the replacement is unsafe, and an `OwnedFd` does not lie.
            #[allow(deprecated)]
            let file = AsyncFd::with_interest(file, Interest::READABLE)?;
            Ok(Timer { file, set: None })
        }

        /// Ready once when `at` has come; `None` never comes.
        pub(super) fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.set != at {
                // Zero would switch the timer off.
                let wait = at.map_or(Duration::ZERO, |at| {
                    at.saturating_duration_since(Instant::now()).max(Duration::from_micros(1))
                });
                let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
                let value = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos().into() };
                timerfd_settime(
                    &self.file,
                    TimerfdTimerFlags::empty(),
                    &Itimerspec { it_interval: zero, it_value: value },
                )?;
                self.set = at;
            }
            loop {
                // It rings once for each time that it is set: whatever comes of the reading, there is no more to read.
                ready!(self.file.poll_read_ready(cx))?.clear_ready();
                match rustix::io::read(self.file.get_ref(), &mut [0; 8]) {
                    Ok(_) => {
                        self.set = None;
                        return Poll::Ready(Ok(()));
                    }
                    // It was set anew after it had rung.
                    Err(rustix::io::Errno::AGAIN) => {}
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use super::{Duration, Future as _, Instant, Poll, io};
    use std::pin::Pin;
    use std::task::Context;

    use tokio::time::{Sleep, sleep_until};

    /// The runtime's own timer: exact to a millisecond.
    pub(super) struct Timer(Pin<Box<Sleep>>, Option<Instant>);

    impl Timer {
        pub(super) fn new() -> io::Result<Timer> {
            Ok(Timer(Box::pin(sleep_until(Instant::now().into())), None))
        }

        /// Ready once when `at` has come; `None` never comes.
        pub(super) fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.1 != at {
                self.0.as_mut().reset(at.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600)).into());
                self.1 = at;
            }
            self.0.as_mut().poll(cx).map(|()| {
                self.1 = None;
                Ok(())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_is_woken_in_order_and_not_before() {
        let metronome = Metronome::start().unwrap();
        let began = Instant::now();
        let order = Arc::new(Mutex::new(Vec::new()));
        let waits = [30u64, 5, 20, 5, 1].map(|ms| {
            let (mut alarm, order) = (metronome.alarm(), Arc::clone(&order));
            tokio::spawn(async move {
                let at = began + Duration::from_millis(ms);
                alarm.until(at).await;
                assert!(Instant::now() >= at);
                order.lock().unwrap().push(ms);
            })
        });
        for wait in waits {
            wait.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [1, 5, 5, 20, 30]);
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_does_not_disturb_the_next() {
        let metronome = Metronome::start().unwrap();
        let mut alarm = metronome.alarm();
        let began = Instant::now();
        for ms in 1..20 {
            // Given up at once, with a time later than the next.
            let far = tokio::time::timeout(Duration::ZERO, alarm.until(began + Duration::from_secs(60))).await;
            assert!(far.is_err());
            alarm.until(began + Duration::from_millis(ms)).await;
            assert!(began.elapsed() >= Duration::from_millis(ms));
        }
        drop(alarm);
        assert_eq!(metronome.alarm().place, 0, "its place is free again");
    }
}
