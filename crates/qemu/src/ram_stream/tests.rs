//! Streams in QEMU's format that the tests build.

use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;

use super::*;

const MEMORY: u64 = 8 * PAGE as u64;

/// A stream under construction.
#[derive(Clone, Default)]
struct Stream(Vec<u8>);

impl Stream {
    /// The beginning up to the list of blocks, in the format of version 7.2.
    fn begun() -> Self {
        Stream::default()
            .bytes(&HEADER)
            .byte(part::CONFIGURATION)
            .u32(11)
            .bytes(b"pc-q35-7.2\0")
            .byte(part::SUBSECTION)
            .text("configuration/capabilities")
            .u32(1)
            .u32(1)
            .text("x-ignore-shared")
            .byte(part::START)
            .u32(2)
            .text("ram")
            .u32(0)
            .u32(RAM_VERSION)
            .u64((MEMORY + 2 * PAGE as u64) | flag::MEMORY_SIZE)
            .text("ram0")
            .u64(MEMORY)
            .u64(0)
            .text("pc.bios")
            .u64(2 * PAGE as u64)
            .u64(0xfffc_0000)
            .ends()
            .byte(part::END)
            .u32(2)
    }

    /// The end of a section of RAM.
    fn ends(self) -> Self {
        self.u64(flag::END).byte(part::FOOTER).u32(2)
    }

    /// Everything after the RAM.
    fn devices(self) -> Self {
        self.ends().bytes(b"\x04 all the devices, in a form that nobody reads here")
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(self, number: u32) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn text(self, text: &str) -> Self {
        self.byte(text.len() as u8).bytes(text.as_bytes())
    }

    /// A page of `fill`, in the block or, without one, in the block of the record before.
    fn page(self, block: Option<&str>, number: u64, fill: u8) -> Self {
        let kind = if fill == 0 { flag::ZERO } else { flag::PAGE };
        let same = if block.is_none() { flag::SAME_BLOCK } else { 0 };
        let stream = self.u64((number * PAGE as u64) | kind | same);
        let stream = match block {
            Some(block) => stream.text(block),
            None => stream,
        };
        if fill == 0 { stream.byte(0) } else { stream.bytes(&[fill; PAGE]) }
    }
}

struct Result {
    ram: Vec<u8>,
    state: Vec<u8>,
    data: io::Result<u64>,
    blocks: u64,
}

fn run(stream: &Stream) -> Result {
    let ram = tempfile::tempfile().unwrap();
    ram.set_len(MEMORY).unwrap();
    let mut state = Vec::new();
    let data = split(Cursor::new(&stream.0), "ram0", MEMORY, &ram, &mut state);
    let mut bytes = vec![0; MEMORY as usize];
    ram.read_exact_at(&mut bytes, 0).unwrap();
    Result { ram: bytes, state, data, blocks: ram.metadata().unwrap().blocks() }
}

fn error(stream: &Stream) -> String {
    run(stream).data.unwrap_err().to_string()
}

/// Pages 0, 1 and 5 with content, the others of zeros.
fn whole() -> Stream {
    Stream::begun()
        .page(Some("ram0"), 0, 1)
        .page(None, 1, 2)
        .page(None, 2, 0)
        .page(Some("pc.bios"), 0, 7)
        .page(None, 1, 0)
        .page(Some("ram0"), 3, 0)
        .page(None, 4, 0)
        .page(None, 5, 3)
        .page(None, 6, 0)
        .page(None, 7, 0)
        .devices()
}

#[test]
fn pages_are_written_at_their_offsets_and_the_rest_stays_in_the_stream() {
    let result = run(&whole());
    assert_eq!(result.data.unwrap(), 3 * PAGE as u64);
    let mut expected = vec![0; MEMORY as usize];
    for (number, fill) in [(0, 1), (1, 2), (5, 3)] {
        expected[number * PAGE..(number + 1) * PAGE].fill(fill);
    }
    assert!(result.ram == expected);
    assert_eq!(result.blocks * 512, 6 * PAGE as u64, "zeros behind the last page are a hole");
    let state = Stream::begun().page(Some("pc.bios"), 0, 7).page(None, 1, 0).devices();
    assert!(result.state == state.0);
}

#[test]
fn commands_between_the_parts_stay_in_the_stream() {
    let command = |stream: Stream| stream.byte(part::COMMAND).bytes(&[0, 9, 0, 2]).bytes(b"xy").byte(part::END).u32(2);
    let mut stream = Stream::begun();
    stream.0.truncate(stream.0.len() - 5);
    let mut parts = command(stream.clone()).page(Some("ram0"), 0, 0);
    for number in 1..8 {
        parts = parts.page(None, number, 0);
    }
    let result = run(&parts.devices());
    assert_eq!(result.data.unwrap(), 0);
    assert!(result.state == command(stream).devices().0);
}

#[test]
fn everything_unknown_is_an_error() {
    let of = |text: &str| format!("QEMU's stream is not understood: {text}");
    let begun = Stream::begun;
    for (stream, expected) in [
        (Stream::default().bytes(b"no stream at all"), "it is not a migration stream of version 3"),
        (begun().u64(0x40).devices(), "a record of RAM with the flags 0x40"),
        (begun().u64(PAGE as u64 | flag::ZERO).text("ram0").byte(7), "a page of one byte that is not zero"),
        (begun().page(Some("ram0"), 0, 1).page(None, 0, 1).devices(), "the page at 0x0 comes twice"),
        (begun().page(Some("ram0"), 8, 0).devices(), "a page at 0x8000, behind the end of RAM"),
        (begun().page(Some("ram0"), 0, 1).devices(), "7 pages of RAM are missing"),
        // RAM that stays in its file is not in the stream.
        (begun().devices(), "8 pages of RAM are missing"),
        (Stream(HEADER.to_vec()).byte(4).u32(1), "the first part is not RAM but of kind 0x04"),
        (
            Stream(HEADER.to_vec()).byte(part::START).u32(2).text("block").u32(0).u32(4),
            "the first section is \"block\" of version 4, not RAM",
        ),
    ] {
        assert_eq!(error(&stream), of(expected));
    }
    let other_size = Stream(HEADER.to_vec()).byte(part::START).u32(2).text("ram").u32(0).u32(RAM_VERSION);
    let other_size = other_size.u64(PAGE as u64 | flag::MEMORY_SIZE).text("ram0").u64(PAGE as u64).u64(0);
    assert_eq!(error(&other_size), of("RAM has 4096 bytes, not 32768"));
}

proptest! {
    /// A stream that ends within the RAM is an error, and no damage causes a panic.
    #[test]
    fn a_cut_stream_is_an_error_and_a_damaged_one_no_panic(cut in 0usize..40_000, at in 0usize..40_000, byte: u8) {
        let whole = whole();
        let ram_ends = whole.0.len() - 60;
        let mut broken = whole.clone();
        broken.0.truncate(cut.min(ram_ends));
        prop_assert!(run(&broken).data.is_err());
        let mut broken = whole;
        let at = at % broken.0.len();
        broken.0[at] = byte;
        let _ = run(&broken);
    }
}
