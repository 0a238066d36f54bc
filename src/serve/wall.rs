//! Wall-clock names: a call's id and the moment it began.

use std::time::SystemTime;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::time::date::compact;

/// What a new call is given: its id, its stream's token, and the seed of what it leaves to chance.
pub(super) fn names(at: SystemTime, random: &SystemRandom) -> Result<(String, String, u64), ring::error::Unspecified> {
    let mut seed = [0u8; 8];
    random.fill(&mut seed)?;
    Ok((call_id(at, random)?, token(random)?, u64::from_le_bytes(seed)))
}

/// `20261120T231455-1f00ca`: sorts by time, unique by its random end; also the name of the call's folder.
fn call_id(at: SystemTime, random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0u8; 3];
    random.fill(&mut bytes)?;
    Ok(format!("{}-{}", compact(at), hex(&bytes)))
}

/// 256 random bits as hex: what a media stream must present.
pub(super) fn token(random: &SystemRandom) -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0u8; 32];
    random.fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let random = SystemRandom::new();
        let at = UNIX_EPOCH + Duration::from_secs(1_795_216_495);
        let a = call_id(at, &random).expect("random");
        let b = call_id(at, &random).expect("random");
        assert!(a.starts_with("20261120T231455-") && a.len() == 22, "{a}");
        assert_ne!(a, b);
        assert_eq!(token(&random).expect("random").len(), 64);
    }
}
