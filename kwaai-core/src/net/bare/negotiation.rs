//! What happens to the bytes of a substream until both sides know what it is for.

use std::io;
use std::task::Waker;

use super::Known;
use super::names::{HEADER, LIST, MAX_LINE, REFUSED, map_identify, map_list, put, take, to_local, to_wire};

const IDENTIFY: &[u8] = b"/ipfs/id/1.0.0";
const IDENTIFY_PUSH: &[u8] = b"/ipfs/id/push/1.0.0";
/// The longest identify message that is translated.
const MAX_IDENTIFY: usize = 1 << 16;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Dialer,
    Listener,
}

/// What one direction carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Lines of the negotiation.
    Lines,
    /// A name was proposed and is not yet answered.
    Proposed,
    /// Identify messages.
    Identify,
    /// Whatever the protocol says.
    Open,
}

/// Bytes on their way, before and after translation.
struct Direction {
    phase: Phase,
    raw: Vec<u8>,
    done: Vec<u8>,
}

impl Direction {
    fn new() -> Direction {
        Direction { phase: Phase::Lines, raw: Vec::new(), done: Vec::new() }
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Open && self.raw.is_empty() && self.done.is_empty()
    }

    /// The next line without its line feed; `None` when more must come. What is no line ends the translation, and
    /// multistream-select will say what is wrong with it.
    fn line(&mut self) -> Option<Vec<u8>> {
        match take(&mut self.raw, MAX_LINE) {
            Ok(line) => line,
            Err(_) => {
                self.phase = Phase::Open;
                None
            }
        }
    }
}

/// The translator between a substream and its multiplexer.
pub(super) struct Negotiation {
    role: Role,
    known: Known,
    /// What was proposed last, as on the wire.
    name: Vec<u8>,
    proposed_before: bool,
    /// The local dialer was told that its name is accepted; the peer's own answer is still to come.
    taken_as_accepted: bool,
    /// What is to be sent waits for the first payload, to go out together with it.
    pub hold: bool,
    inbound: Direction,
    outbound: Direction,
    /// Waits until the local side has answered a proposal.
    pub reader: Option<Waker>,
    /// Waits until what was translated is sent.
    pub writer: Option<Waker>,
}

impl Negotiation {
    pub(super) fn new(role: Role, known: Known) -> Negotiation {
        Negotiation {
            role,
            known,
            name: Vec::new(),
            proposed_before: false,
            taken_as_accepted: false,
            hold: false,
            inbound: Direction::new(),
            outbound: Direction::new(),
            reader: None,
            writer: None,
        }
    }

    /// Whether nothing is left to translate in either direction.
    pub(super) fn is_over(&self) -> bool {
        self.inbound.is_over() && self.outbound.is_over()
    }

    /// Bytes for the local reader.
    pub(super) fn readable(&mut self) -> &mut Vec<u8> {
        &mut self.inbound.done
    }

    /// Bytes for the peer.
    pub(super) fn sendable(&mut self) -> &mut Vec<u8> {
        &mut self.outbound.done
    }

    /// Whether the local side must speak before more is read.
    pub(super) fn waits_for_local(&self) -> bool {
        self.inbound.phase == Phase::Proposed
    }

    /// Whether what comes from the peer needs no translation any more.
    pub(super) fn inbound_is_open(&self) -> bool {
        self.inbound.phase == Phase::Open && self.inbound.raw.is_empty()
    }

    /// Whether what the local side writes needs no translation any more.
    pub(super) fn outbound_is_open(&self) -> bool {
        self.outbound.phase == Phase::Open
    }

    /// The stream broke. If that was the peer's answer to a name taken as accepted, it is not taken so again.
    pub(super) fn broken(&self) {
        if self.taken_as_accepted {
            self.known.forget(&self.name);
        }
    }

    /// The peer sends nothing more.
    pub(super) fn ended(&mut self) {
        self.broken();
        self.inbound.phase = Phase::Open;
        let rest = std::mem::take(&mut self.inbound.raw);
        self.inbound.done.extend(rest);
    }

    /// Takes bytes from the peer.
    pub(super) fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inbound.raw.extend_from_slice(bytes);
        self.translate_inbound()
    }

    /// Takes bytes from the local writer.
    pub(super) fn written(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.outbound.raw.extend_from_slice(bytes);
        self.translate_outbound()
    }

    fn outbound_settled(&mut self) {
        let identify = if self.role == Role::Dialer { IDENTIFY_PUSH } else { IDENTIFY };
        self.outbound.phase = if self.name == identify { Phase::Identify } else { Phase::Open };
    }

    /// Both sides agree on the name.
    fn settled(&mut self) {
        let identify = if self.role == Role::Dialer { IDENTIFY } else { IDENTIFY_PUSH };
        self.inbound.phase = if self.name == identify { Phase::Identify } else { Phase::Open };
        self.outbound_settled();
        if self.role == Role::Dialer {
            self.known.learn(&self.name);
        }
        self.wake_reader();
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn translate_inbound(&mut self) -> io::Result<()> {
        loop {
            match self.inbound.phase {
                Phase::Proposed => return Ok(()),
                Phase::Open => {
                    let Direction { raw, done, .. } = &mut self.inbound;
                    done.append(raw);
                    return Ok(());
                }
                Phase::Identify => match take(&mut self.inbound.raw, MAX_IDENTIFY) {
                    Ok(None) => return Ok(()),
                    Err(_) => self.inbound.phase = Phase::Open,
                    Ok(Some(message)) => {
                        let known = &self.known;
                        let translated = map_identify(&message, |name| {
                            known.learn(name);
                            to_local(name)
                        });
                        put(&mut self.inbound.done, &translated.unwrap_or(message));
                    }
                },
                Phase::Lines => match self.inbound.line() {
                    Some(line) => self.line_received(line)?,
                    None if self.inbound.phase == Phase::Lines => return Ok(()),
                    None => self.outbound.phase = Phase::Open,
                },
            }
        }
    }

    fn line_received(&mut self, line: Vec<u8>) -> io::Result<()> {
        let name = line.strip_suffix(b"\n").unwrap_or(&line);
        if self.taken_as_accepted {
            if name == self.name {
                self.taken_as_accepted = false;
                self.settled();
            } else if name != HEADER {
                self.known.forget(&self.name);
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the peer does not speak the protocol any more",
                ));
            }
            return Ok(());
        }
        put(&mut self.inbound.done, &with_line_feed(to_local(name), &line));
        if name == HEADER || name == LIST {
            return Ok(());
        }
        match self.role {
            Role::Listener => {
                self.name = name.to_vec();
                self.inbound.phase = Phase::Proposed;
            }
            Role::Dialer if name == REFUSED => self.outbound.phase = Phase::Lines,
            Role::Dialer => self.settled(),
        }
        Ok(())
    }

    fn translate_outbound(&mut self) -> io::Result<()> {
        loop {
            match self.outbound.phase {
                Phase::Open => {
                    let Direction { raw, done, .. } = &mut self.outbound;
                    done.append(raw);
                    return Ok(());
                }
                Phase::Proposed if self.outbound.raw.is_empty() => return Ok(()),
                // A dialer that writes on without an answer has begun with its payload.
                Phase::Proposed => self.outbound_settled(),
                Phase::Identify => match take(&mut self.outbound.raw, MAX_IDENTIFY) {
                    Ok(None) => return Ok(()),
                    Err(_) => self.outbound.phase = Phase::Open,
                    Ok(Some(message)) => {
                        let translated = map_identify(&message, to_wire);
                        put(&mut self.outbound.done, &translated.unwrap_or(message));
                    }
                },
                Phase::Lines => match self.outbound.line() {
                    Some(line) => self.line_written(line)?,
                    None if self.outbound.phase == Phase::Lines => return Ok(()),
                    None => self.inbound.phase = Phase::Open,
                },
            }
        }
    }

    fn line_written(&mut self, line: Vec<u8>) -> io::Result<()> {
        let name = line.strip_suffix(b"\n").unwrap_or(&line);
        if name.contains(&b'\n') {
            put(&mut self.outbound.done, &map_list(line.clone()).unwrap_or(line));
            return Ok(());
        }
        let wire = to_wire(name);
        put(&mut self.outbound.done, &with_line_feed(wire.clone(), &line));
        if name == HEADER || name == LIST {
            return Ok(());
        }
        match self.role {
            Role::Listener if name == REFUSED => {
                self.inbound.phase = Phase::Lines;
                self.translate_inbound()?;
                self.wake_reader();
            }
            Role::Listener => {
                self.name = wire;
                self.settled();
                self.translate_inbound()?;
            }
            Role::Dialer => {
                let first = !std::mem::replace(&mut self.proposed_before, true);
                self.name = wire;
                self.outbound.phase = Phase::Proposed;
                if first && self.known.contains(&self.name) {
                    put(&mut self.inbound.done, &[HEADER, b"\n"].concat());
                    put(&mut self.inbound.done, &line);
                    self.taken_as_accepted = true;
                    self.hold = true;
                    self.outbound.phase = Phase::Open;
                }
            }
        }
        Ok(())
    }
}

/// A translated name, ending as the line did that it came from.
fn with_line_feed(mut name: Vec<u8>, line: &[u8]) -> Vec<u8> {
    if line.ends_with(b"\n") {
        name.push(b'\n');
    }
    name
}
