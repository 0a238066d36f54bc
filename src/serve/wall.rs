//! Wall-clock names: a call's id and the moment it began.

use std::path::Path;
use std::time::{Duration, SystemTime};

use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::hex::hex;
use crate::store::{self, IdKind};

/// What a new call is given beside its id: its stream's token, and the seed of what it leaves to chance.
pub(super) fn lot(random: &SystemRandom) -> Result<(String, u64), Unspecified> {
    let mut seed = [0u8; 8];
    random.fill(&mut seed)?;
    Ok((token(random)?, u64::from_le_bytes(seed)))
}

/// A new call's id, of which there is neither a call nor a folder in `calls`.
pub(super) async fn new_id(
    at: SystemTime,
    random: &SystemRandom,
    calls: &Path,
    is_up: impl Fn(&str) -> bool,
) -> Result<String, Unspecified> {
    untaken(|| store::new_id(IdKind::Call, at, random), calls, is_up).await
}

async fn untaken(
    mut draw: impl FnMut() -> Result<String, Unspecified>,
    calls: &Path,
    is_up: impl Fn(&str) -> bool,
) -> Result<String, Unspecified> {
    for _ in 0..DRAWS {
        let id = draw()?;
        let folder = calls.join(store::folder_name(&id));
        // A disk that does not say so in time holds no call up: with so many bits there is no other.
        let looked = timeout(LOOK, spawn_blocking(move || folder.exists())).await;
        if !is_up(&id) && !matches!(looked, Ok(Ok(true))) {
            return Ok(id);
        }
        tracing::error!(id, "the system's random numbers repeat themselves: another call has this id");
    }
    Err(Unspecified)
}

/// Ids that are drawn before the system's randomness counts as none.
const DRAWS: usize = 8;
/// How long the disk may take to say whether there is a folder.
const LOOK: Duration = Duration::from_millis(200);

/// 256 random bits as hex: what a media stream must present.
pub(super) fn token(random: &SystemRandom) -> Result<String, Unspecified> {
    let mut bytes = [0u8; 32];
    random.fill(&mut bytes)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_id_that_is_taken_is_drawn_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("kept")).expect("a folder");
        let mut ids = ["up", "kept", "free", "other"].map(str::to_owned).into_iter();
        let drawn = untaken(|| ids.next().ok_or(Unspecified), dir.path(), |id| id == "up");
        assert_eq!(drawn.await, Ok("free".to_owned()));
        let none = untaken(|| Ok("kept".to_owned()), dir.path(), |_| false);
        assert!(none.await.is_err());
    }
}
