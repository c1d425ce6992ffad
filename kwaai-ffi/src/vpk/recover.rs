//! How a collection is taken over from another machine.

use kwaai_core::Error;
use kwaai_core::identity::Did;
use kwaai_core::vpk::{RecoverConfig, Unlock};
use serde::Deserialize;

use super::record::host_name;
use crate::{Result, validate};

/// What opens an exported key, and what becomes of the collection. It has a passphrase and is not to be printed.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecoverOptions {
    /// The passphrase under which the key was exported.
    pub passphrase: Option<String>,
    /// The DID of the node that exported the key to this machine.
    pub exported_by: Option<String>,
    /// Who is to keep it from now on: `here` or PeerIds; the hosts that it had unless set.
    pub hosts: Option<Vec<String>>,
    /// Whether it is recovered without the payloads that no host has; false unless set.
    pub partial: Option<bool>,
}

/// What opens an exported key.
pub(super) enum Opener {
    Passphrase(String),
    ExportedBy(Did),
}

impl Opener {
    pub(super) fn unlock(&self) -> Unlock<'_> {
        match self {
            Opener::Passphrase(passphrase) => Unlock::Passphrase(passphrase),
            Opener::ExportedBy(owner) => Unlock::ExportedBy(*owner),
        }
    }
}

impl RecoverOptions {
    pub(super) fn into_core(self) -> Result<(Opener, RecoverConfig)> {
        let opener = match (self.passphrase, self.exported_by) {
            (Some(passphrase), None) => Opener::Passphrase(passphrase),
            (None, Some(owner)) => Opener::ExportedBy(validate::did(&owner)?),
            _ => {
                let message = "a key opens with its passphrase, or with the name of who exported it to this machine";
                return Err(Error::invalid_argument(message).with_remedy("give one of the two").into());
            }
        };
        let hosts = self.hosts.iter().flatten().map(|host| host_name(host)).collect::<Result<_>>()?;
        Ok((opener, RecoverConfig { hosts, partial: self.partial.unwrap_or_default() }))
    }
}
