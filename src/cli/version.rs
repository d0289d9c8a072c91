//! The version and what it runs on.

use serde_json::{Value, json};

use crate::crypto::{ed25519, sha256};

/// `keel/` and the version, as peers see it.
#[must_use]
pub fn version_line() -> String {
    format!("keel/{}", env!("CARGO_PKG_VERSION"))
}

/// The version and the code paths that this machine takes.
#[must_use]
pub fn version_json() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ed25519": ed25519::backend(),
        "sha256": sha256::backend(),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    })
}

pub(super) fn version_text() -> String {
    let version = version_json();
    format!(
        "keel {}\nsignatures  {}\nhashing     {}\ntarget      {}",
        env!("CARGO_PKG_VERSION"),
        version["ed25519"].as_str().unwrap_or_default(),
        version["sha256"].as_str().unwrap_or_default(),
        version["target"].as_str().unwrap_or_default(),
    )
}
