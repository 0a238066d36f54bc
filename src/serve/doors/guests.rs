//! Who is connected, and who makes room: the rules of the front door, without a socket or a clock.
//!
//! A connection either **works** (its request is there and is being answered) or **waits** (nothing that we need has come
//! of it yet, or its last request is answered). At a bound the connection that has waited longest makes room for the new
//! one: whoever has something to say says it at once, so that silent sockets shut nobody out, also when they come from
//! the very address of a proxy or a NAT. Only when all of them work is the new one refused. Media sockets that belong to a
//! call are counted by `max_calls` and no longer here.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// How many connections there may be that belong to no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Of one address.
    pub(super) per_address: usize,
    /// Of all together.
    pub(super) all: usize,
}

/// Which bound was reached. The names are labels of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Address,
    All,
}

/// Somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) guest: u64,
    /// Who is to go for it, and why.
    pub(super) instead_of: Option<(u64, Bound)>,
}

/// All connections that are counted.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// Of guests and of turns to wait; never used twice.
    next: u64,
    guests: HashMap<u64, Guest>,
    /// By when they began to wait.
    waiting: BTreeMap<u64, u64>,
    by_address: HashMap<IpAddr, Neighbours>,
}

#[derive(Debug)]
struct Guest {
    address: IpAddr,
    /// Its turn among those that wait.
    waits: Option<u64>,
}

/// Connections of one address.
#[derive(Debug, Default)]
struct Neighbours {
    count: usize,
    waiting: BTreeMap<u64, u64>,
}

impl Guests {
    /// Lets one in that waits, if there is room or somebody makes room.
    pub(super) fn enter(&mut self, from: IpAddr, bounds: Bounds) -> Result<Entered, Bound> {
        let address = neighbourhood(from);
        let (count, longest_here) = match self.by_address.get(&address) {
            Some(here) => (here.count, here.waiting.first_key_value().map(|(_, guest)| *guest)),
            None => (0, None),
        };
        let longest = self.waiting.first_key_value().map(|(_, guest)| *guest);
        let instead_of = if count >= bounds.per_address {
            Some((longest_here.ok_or(Bound::Address)?, Bound::Address))
        } else if self.guests.len() >= bounds.all {
            Some((longest.ok_or(Bound::All)?, Bound::All))
        } else {
            None
        };
        if let Some((guest, _)) = instead_of {
            self.leave(guest);
        }
        let guest = self.number();
        self.guests.insert(guest, Guest { address, waits: None });
        self.by_address.entry(address).or_default().count += 1;
        self.waits(guest);
        Ok(Entered { guest, instead_of })
    }

    /// Its request is there.
    pub(super) fn works(&mut self, guest: u64) {
        let Some(known) = self.guests.get_mut(&guest) else { return };
        if let Some(turn) = known.waits.take() {
            self.waiting.remove(&turn);
            if let Some(here) = self.by_address.get_mut(&known.address) {
                here.waiting.remove(&turn);
            }
        }
    }

    /// Its request is answered.
    pub(super) fn waits(&mut self, guest: u64) {
        self.works(guest);
        let turn = self.number();
        let Some(known) = self.guests.get_mut(&guest) else { return };
        known.waits = Some(turn);
        self.waiting.insert(turn, guest);
        self.by_address.entry(known.address).or_default().waiting.insert(turn, guest);
    }

    /// It is gone, or counted elsewhere.
    pub(super) fn leave(&mut self, guest: u64) {
        self.works(guest);
        let Some(known) = self.guests.remove(&guest) else { return };
        if let Some(here) = self.by_address.get_mut(&known.address) {
            here.count -= 1;
            if here.count == 0 {
                self.by_address.remove(&known.address);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.guests.len()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What counts as one address: an IPv4 address, or the IPv6 network that one customer is given.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { per_address: 3, all: 5 };

    fn at(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn enter(guests: &mut Guests, from: &str) -> Entered {
        guests.enter(at(from), BOUNDS).expect("room")
    }

    #[test]
    fn whoever_waited_longest_makes_room_for_a_neighbour() {
        let mut guests = Guests::default();
        let [a, b, c] = [(); 3].map(|()| enter(&mut guests, "192.0.2.1"));
        assert_eq!([a, b, c].map(|entered| entered.instead_of), [None; 3]);
        // The first one was asked for something meanwhile, and is done: it waits anew.
        guests.works(a.guest);
        guests.waits(a.guest);
        let d = enter(&mut guests, "192.0.2.1");
        assert_eq!(d.instead_of, Some((b.guest, Bound::Address)));
        assert_eq!(enter(&mut guests, "192.0.2.2").instead_of, None, "another address has room of its own");
        assert_eq!(guests.len(), 4);
    }

    #[test]
    fn who_works_is_never_sent_away() {
        let mut guests = Guests::default();
        let working: Vec<u64> = (0..3).map(|_| enter(&mut guests, "192.0.2.1").guest).collect();
        working.iter().for_each(|guest| guests.works(*guest));
        assert_eq!(guests.enter(at("192.0.2.1"), BOUNDS), Err(Bound::Address));
        let other = enter(&mut guests, "192.0.2.2");
        guests.waits(working[2]);
        assert_eq!(enter(&mut guests, "192.0.2.1").instead_of, Some((working[2], Bound::Address)), "not the other's");
        guests.leave(working[0]);
        assert_eq!(enter(&mut guests, "192.0.2.1").instead_of, None);
        assert!(guests.guests.contains_key(&other.guest));
    }

    #[test]
    fn all_addresses_together_have_a_bound_too() {
        let mut guests = Guests::default();
        let first = enter(&mut guests, "192.0.2.0");
        (1..5).for_each(|n| assert_eq!(enter(&mut guests, &format!("192.0.2.{n}")).instead_of, None));
        let sixth = enter(&mut guests, "192.0.2.9");
        assert_eq!(sixth.instead_of, Some((first.guest, Bound::All)));
        let all: Vec<u64> = guests.guests.keys().copied().collect();
        all.iter().for_each(|guest| guests.works(*guest));
        assert_eq!(guests.enter(at("192.0.2.10"), BOUNDS), Err(Bound::All));
        all.iter().for_each(|guest| guests.leave(*guest));
        all.iter().for_each(|guest| guests.leave(*guest));
        assert!(guests.guests.is_empty() && guests.waiting.is_empty() && guests.by_address.is_empty());
    }

    #[test]
    fn what_is_gone_is_neither_counted_nor_found() {
        let mut guests = Guests::default();
        let gone = enter(&mut guests, "192.0.2.1").guest;
        guests.leave(gone);
        guests.works(gone);
        guests.waits(gone);
        assert_eq!(guests.len(), 0);
        assert!(guests.waiting.is_empty() && guests.by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(neighbourhood(at(one)) == neighbourhood(at(other)), same, "{one} {other}");
        }
    }
}
