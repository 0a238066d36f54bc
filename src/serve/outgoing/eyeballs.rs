//! Happy Eyeballs (RFC 8305): of a host's addresses, the first that answers. One that is silent holds the next up for a
//! quarter of a second, not for as long as a system waits.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// Before the next address is tried beside those that have not answered: the RFC's "Connection Attempt Delay".
pub(super) const DELAY: Duration = Duration::from_millis(250);
/// Addresses that are tried; a host with more has those answer.
const MAX_ADDRESSES: usize = 16;

/// In which order addresses are tried: as the system sorts them (RFC 6724), but the families take turns, the first one's
/// first, so that a family that is broken costs one delay.
pub(super) fn order(found: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut first, mut other) = (VecDeque::new(), VecDeque::new());
    for address in found {
        let of = match first.front() {
            Some(known) if SocketAddr::is_ipv6(known) != address.is_ipv6() => &mut other,
            _ => &mut first,
        };
        if !of.contains(&address) {
            of.push_back(address);
        }
    }
    let mut order = Vec::new();
    while !(first.is_empty() && other.is_empty()) && order.len() < MAX_ADDRESSES {
        order.extend(first.pop_front());
        order.extend(other.pop_front());
    }
    order.truncate(MAX_ADDRESSES);
    order
}

/// Tries the addresses until one answers, each `delay` after the one before or as soon as that fails. What others were asked is given up then.
///
/// # Errors
/// None did: what the last one said.
pub(super) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let tried = addresses.len();
    let mut left = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    trying.extend(left.next().map(&connect));
    while !trying.is_empty() {
        tokio::select! {
            biased;
            Some(came) = trying.next() => match came {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    failed = error;
                    trying.extend(left.next().map(&connect));
                }
            },
            () = sleep(delay), if left.len() > 0 => trying.extend(left.next().map(&connect)),
        }
    }
    Err(match tried {
        0 | 1 => failed,
        _ => io::Error::new(failed.kind(), format!("{failed} (none of {tried} addresses answers)")),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn families_take_turns_in_the_systems_order() {
        for (found, ordered) in [
            (vec![], vec![]),
            (vec!["1.0.0.1:1", "1.0.0.2:1"], vec!["1.0.0.1:1", "1.0.0.2:1"]),
            (
                vec!["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"],
                vec!["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"],
            ),
            (vec!["1.0.0.1:1", "[::1]:1", "1.0.0.2:1"], vec!["1.0.0.1:1", "[::1]:1", "1.0.0.2:1"]),
            (vec!["1.0.0.1:1", "[::1]:1", "1.0.0.1:1", "[::1]:1"], vec!["1.0.0.1:1", "[::1]:1"]),
        ] {
            assert_eq!(order(addresses(&found)), addresses(&ordered), "{found:?}");
        }
        let many = (0..200u8).map(|n| SocketAddr::from(([10, 0, 0, n], 1)));
        assert_eq!(order(many).len(), MAX_ADDRESSES);
    }

    /// What an address does; an answer comes after so many ms.
    #[derive(Clone, Copy)]
    enum Does {
        Answers(u64),
        Refuses,
        Nothing,
    }

    /// Which address won or that none did, after how long, and how many were tried.
    async fn raced(all: &[Does], delay_ms: u64) -> (io::Result<usize>, u64, usize) {
        let (began, tried) = (Instant::now(), AtomicUsize::new(0));
        let connect = |address: SocketAddr| {
            tried.fetch_add(1, Ordering::Relaxed);
            let n = usize::from(address.port());
            let does = all[n];
            async move {
                match does {
                    Does::Answers(ms) => {
                        sleep(Duration::from_millis(ms)).await;
                        Ok(n)
                    }
                    Does::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
                    Does::Nothing => std::future::pending().await,
                }
            }
        };
        let ports = (0..all.len()).map(|n| SocketAddr::from(([127, 0, 0, 1], n as u16))).collect();
        let came = race(ports, Duration::from_millis(delay_ms), connect).await;
        (came, began.elapsed().as_millis() as u64, tried.into_inner())
    }

    #[tokio::test]
    async fn the_first_that_answers_wins() {
        use Does::{Answers, Nothing, Refuses};
        // What each does, the delay, who wins, after how long at least, and how many were tried.
        type Case = (&'static [Does], u64, Option<usize>, u64, usize);
        let cases: [Case; 7] = [
            (&[Answers(0), Answers(0)], 5_000, Some(0), 0, 1),
            // The case of a first address that takes no connection.
            (&[Nothing, Answers(0)], 60, Some(1), 60, 2),
            (&[Nothing, Nothing, Nothing, Answers(0)], 60, Some(3), 180, 4),
            // A refusal is known at once: nothing is waited for.
            (&[Refuses, Refuses, Answers(0)], 600_000, Some(2), 0, 3),
            // A slow one may still be first.
            (&[Answers(150), Nothing], 60, Some(0), 150, 2),
            (&[Refuses, Refuses], 600_000, None, 0, 2),
            (&[], 600_000, None, 0, 0),
        ];
        for (n, (all, delay_ms, winner, at_least_ms, tried)) in cases.into_iter().enumerate() {
            let (came, took_ms, tries) = raced(all, delay_ms).await;
            assert_eq!((came.ok(), tries), (winner, tried), "case {n}");
            assert!(took_ms >= at_least_ms, "case {n}: {took_ms}");
        }
        let (none, ..) = raced(&[Refuses, Refuses], 600_000).await;
        assert_eq!(none.expect_err("refused").to_string(), "connection refused (none of 2 addresses answers)");
    }
}
