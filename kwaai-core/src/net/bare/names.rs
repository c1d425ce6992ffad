//! Names on the wire and here, and the frames that carry them.

/// What a name without a slash begins with here.
pub(crate) const PREFIX: &str = "/bare/";

/// The lines of multistream-select 1.0 that are no names, without their line feed.
pub(super) const HEADER: &[u8] = b"/multistream/1.0.0";
pub(super) const REFUSED: &[u8] = b"na";
pub(super) const LIST: &[u8] = b"ls";

/// The longest frame of a negotiation, as in multistream-select.
pub(super) const MAX_LINE: usize = (1 << 14) - 1;

/// The name under which a protocol is registered here.
pub(super) fn to_local(wire: &[u8]) -> Vec<u8> {
    let plain = wire.starts_with(b"/") && !wire.starts_with(PREFIX.as_bytes());
    match plain || wire == REFUSED || wire == LIST {
        true => wire.to_vec(),
        false => [PREFIX.as_bytes(), wire].concat(),
    }
}

/// The name as others write it.
pub(super) fn to_wire(local: &[u8]) -> Vec<u8> {
    local.strip_prefix(PREFIX.as_bytes()).unwrap_or(local).to_vec()
}

/// A frame that is longer than allowed.
#[derive(Debug)]
pub(super) struct TooLong;

/// Reads an unsigned varint of at most four bytes; `None` when more must come.
fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, TooLong> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(TooLong) }
}

/// Takes the first frame out of a buffer; `None` when more must come.
pub(super) fn take(buffer: &mut Vec<u8>, max: usize) -> Result<Option<Vec<u8>>, TooLong> {
    let Some((length, head)) = varint(buffer)? else { return Ok(None) };
    if length > max {
        return Err(TooLong);
    }
    if buffer.len() < head + length {
        return Ok(None);
    }
    let frame = buffer[head..head + length].to_vec();
    buffer.drain(..head + length);
    Ok(Some(frame))
}

/// Appends a frame.
pub(super) fn put(out: &mut Vec<u8>, frame: &[u8]) {
    let mut length = frame.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(frame);
}

/// Translates the answer to `ls`: frames with names within a frame, and a line feed at its end. `None` if it is none.
pub(super) fn map_list(mut rest: Vec<u8>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while rest != b"\n" {
        put(&mut out, &to_wire(&take(&mut rest, MAX_LINE).ok()??));
    }
    out.push(b'\n');
    Some(out)
}

/// Translates the protocols in an identify message, which are its field 3. `None` if it is none.
pub(super) fn map_identify(message: &[u8], mut map: impl FnMut(&[u8]) -> Vec<u8>) -> Option<Vec<u8>> {
    const PROTOCOLS: usize = 3 << 3 | 2;
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut rest = message;
    while !rest.is_empty() {
        let (key, head) = varint(rest).ok()??;
        let length = match key & 7 {
            0 => 1 + rest[head..].iter().position(|byte| byte & 0x80 == 0)?,
            2 => {
                let (length, digits) = varint(&rest[head..]).ok()??;
                let body = rest.get(head + digits..head + digits + length)?;
                if key == PROTOCOLS {
                    out.push(PROTOCOLS as u8);
                    put(&mut out, &map(body));
                    rest = &rest[head + digits + length..];
                    continue;
                }
                digits + length
            }
            _ => return None,
        };
        let (field, after) = rest.split_at_checked(head + length)?;
        out.extend_from_slice(field);
        rest = after;
    }
    Some(out)
}
