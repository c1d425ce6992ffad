//! What every question to one peer, and every answer for one asker, has in common.
//!
//! A question names who asks and who is asked, with a nonce of 16 bytes and the instant. It is good for as long as clocks may
//! differ. The answer repeats asker, responder and nonce, so that it fits no other question and nobody else, and ends after
//! [`STATEMENT_LIFETIME`].

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::statement::{self, Reader, refused};
use super::{json, proof};
use crate::identity::Did;
use crate::{Error, ErrorCode, Result};

const LIFETIME_SECONDS: i64 = STATEMENT_LIFETIME.as_secs().cast_signed();

/// How long an answer holds.
pub const STATEMENT_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Who asks whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Asked {
    pub(super) asker: Did,
    pub(super) responder: Did,
    pub(super) nonce: [u8; 16],
    /// To the second.
    pub(super) asked: Timestamp,
}

/// Who answers whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answered {
    pub(super) responder: Did,
    pub(super) asker: Did,
    pub(super) nonce: [u8; 16],
    /// To the second.
    pub(super) made: Timestamp,
    pub(super) expires: Timestamp,
}

impl Asked {
    pub(super) fn new(asker: Did, responder: Did, nonce: [u8; 16], now: Timestamp) -> Result<Asked> {
        Ok(Asked { asker, responder, nonce, asked: proof::whole_seconds(now)? })
    }

    pub(super) fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("asker".into(), self.asker.to_string().into());
        members.insert("responder".into(), self.responder.to_string().into());
        members.insert("nonce".into(), json::hex(&self.nonce).into());
        members.insert("asked".into(), self.asked.to_string().into());
        members
    }

    pub(super) fn read(reader: &mut Reader, asker: Did) -> Result<Asked> {
        let (responder, nonce, asked) = (reader.did("responder")?, reader.bytes("nonce")?, reader.time("asked")?);
        Ok(Asked { asker, responder, nonce, asked })
    }

    /// Checks that it goes to `responder`, just now, and comes from `caller` where a connection says who that is.
    pub(super) fn check(&self, responder: Did, caller: Option<Did>, now: Timestamp) -> Result<()> {
        if caller.is_some_and(|caller| caller != self.asker) {
            return Err(refused(ErrorCode::PermissionDenied, "asker", "somebody else than the caller asks this"));
        }
        if self.responder != responder {
            return Err(refused(ErrorCode::InvalidArgument, "audience", "the question goes to another node"));
        }
        if !statement::is_past(self.asked, now) {
            return Err(refused(ErrorCode::InvalidArgument, "not_yet", "the question comes from the future"));
        }
        if statement::is_older(self.asked, statement::CLOCK_SKEW_SECONDS, now) {
            return Err(refused(ErrorCode::InvalidArgument, "expired", "the question is too old"));
        }
        Ok(())
    }
}

impl Answered {
    /// An answer to this question, made now.
    pub(super) fn to(asked: &Asked, now: Timestamp) -> Result<Answered> {
        let made = proof::whole_seconds(now)?;
        let expires = made.checked_add(STATEMENT_LIFETIME).map_err(|error| {
            Error::invalid_argument("the statement would end after the year 9999").with_source(error)
        })?;
        Ok(Answered { responder: asked.responder, asker: asked.asker, nonce: asked.nonce, made, expires })
    }

    pub(super) fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("responder".into(), self.responder.to_string().into());
        members.insert("asker".into(), self.asker.to_string().into());
        members.insert("nonce".into(), json::hex(&self.nonce).into());
        members.insert("made".into(), self.made.to_string().into());
        members.insert("expires".into(), self.expires.to_string().into());
        members
    }

    pub(super) fn read(reader: &mut Reader, responder: Did) -> Result<Answered> {
        let (asker, nonce) = (reader.did("asker")?, reader.bytes("nonce")?);
        let (made, expires) = (reader.time("made")?, reader.time("expires")?);
        Ok(Answered { responder, asker, nonce, made, expires })
    }

    /// Checks that it answers this question and holds at `now`.
    ///
    /// # Errors
    /// With the broken `rule`: `corrupt_data` for another `responder`, `audience` or `nonce`; `invalid_argument` when it has
    /// `expired`, comes from the future (`not_yet`) or claims to hold for longer than [`STATEMENT_LIFETIME`] (`lifetime`).
    pub(super) fn check(&self, asked: &Asked, now: Timestamp) -> Result<()> {
        for (holds, rule, why) in [
            (self.responder == asked.responder, "responder", "somebody else than was asked made the statement"),
            (self.asker == asked.asker, "audience", "the statement was made for somebody else"),
            (self.nonce == asked.nonce, "nonce", "the statement answers another question"),
        ] {
            if !holds {
                return Err(refused(ErrorCode::CorruptData, rule, why).with("responder", self.responder));
            }
        }
        if !statement::is_past(self.made, now) {
            return Err(refused(ErrorCode::InvalidArgument, "not_yet", "the statement comes from the future"));
        }
        if self.expires <= now {
            return Err(refused(
                ErrorCode::InvalidArgument,
                "expired",
                format!("the statement held until {}", self.expires),
            ));
        }
        // Whoever signed it: an opinion of last year is none of today.
        if statement::is_older(self.made, LIFETIME_SECONDS, self.expires) {
            return Err(refused(ErrorCode::InvalidArgument, "lifetime", "the statement claims to hold for too long"));
        }
        Ok(())
    }
}
