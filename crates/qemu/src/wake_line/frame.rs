//! Which packets to a paused guest are a reason to resume it. Pure.
//!
//! Sources: Ethernet II and ARP (RFC 826), IPv4 (RFC 791), TCP (RFC 9293).

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const ARP_REQUEST: u16 = 1;
const TCP: u8 = 6;
const ETHERNET_HEADER: usize = 14;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Whether the frame opens a connection to the guest or has data for one of its forwarded ports, `served`. QEMU asks for the
/// guest's hardware address (ARP) only before such a frame. The end of a connection, and data that the guest itself has
/// asked for, can wait.
pub(super) fn wakes(frame: &[u8], served: &[u16]) -> bool {
    let Some(payload) = frame.get(ETHERNET_HEADER..) else { return false };
    match word(frame, 12) {
        Some(ARP) => word(payload, 6) == Some(ARP_REQUEST),
        Some(IPV4) => tcp(payload)
            .is_some_and(|(port, flags, data)| flags & (SYN | ACK) == SYN || (data && served.contains(&port))),
        _ => false,
    }
}

/// The destination port, the flags, and whether there are data.
fn tcp(packet: &[u8]) -> Option<(u16, u8, bool)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let length = usize::from(word(packet, 2)?);
    if *packet.get(9)? != TCP {
        return None;
    }
    // The rest of the frame is padding.
    let segment = packet.get(header..length)?;
    let data = usize::from(segment.get(12)? >> 4) * 4;
    Some((word(segment, 2)?, *segment.get(13)?, segment.len() > data))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What QEMU 7.2 sends before the first packet to a guest whose address it does not know.
    const ASKS_FOR_ADDRESS: &str =
        "ffffffffffff52550a0002020806000108000604000152550a0002020a0002020000000000000a00020f";

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        (0..hexadecimal.len()).step_by(2).map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap()).collect()
    }

    /// An IPv4 packet in a frame.
    fn segment(port: u16, flags: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(IPV4.to_be_bytes());
        let length = u16::try_from(40 + data.len()).unwrap();
        frame.extend([0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
        frame.extend(40000_u16.to_be_bytes());
        frame.extend(port.to_be_bytes());
        frame.extend([0; 8]);
        frame.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
        frame.extend(data);
        // Short frames are filled up.
        frame.resize(frame.len().max(60), 0);
        frame
    }

    #[test]
    fn only_new_connections_and_data_wake_the_guest() {
        let (fin, rst, psh) = (0x01, 0x04, 0x08);
        for (what, frame, expected) in [
            ("a question for the address", bytes(ASKS_FOR_ADDRESS), true),
            ("a new connection", segment(80, SYN, b""), true),
            ("a new connection to a port that was opened later", segment(9999, SYN, b""), true),
            ("data", segment(80, ACK | psh, b"GET /"), true),
            ("an acknowledgement", segment(80, ACK, b""), false),
            ("the end of a connection", segment(80, ACK | fin, b""), false),
            ("a broken connection", segment(80, rst, b""), false),
            ("the answer to a connection of the guest's", segment(41234, SYN | ACK, b""), false),
            ("data that the guest asked for", segment(41234, ACK | psh, b"layer"), false),
            ("nothing", Vec::new(), false),
            ("a part of a frame", bytes(ASKS_FOR_ADDRESS)[..14].to_vec(), false),
        ] {
            assert_eq!(wakes(&frame, &[80, 6443]), expected, "{what}");
        }
        let mut answer = bytes(ASKS_FOR_ADDRESS);
        answer[21] = 2;
        assert!(!wakes(&answer, &[80]), "an answer about an address");
        let mut datagram = segment(80, SYN, b"name");
        datagram[14 + 9] = 17;
        assert!(!wakes(&datagram, &[80]), "UDP");
        let mut sixth = segment(80, SYN, b"");
        sixth[12..14].copy_from_slice(&[0x86, 0xdd]);
        assert!(!wakes(&sixth, &[80]), "IPv6, which no forward has");
    }
}
