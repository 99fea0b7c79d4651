//! Headers, without qemu-img; `tests/qemu/real_disk.rs` compares with it.

use proptest::prelude::*;

use super::*;

fn in_directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    (directory, path)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_header_of_an_overlay_is_read_back_and_its_backing_file_can_be_renamed(
        size in 0..1_u64 << 45,
        name in "/[^\0]{0,200}",
        other in "/[^\0]{0,200}",
    ) {
        let (_directory, directory) = in_directory();
        let (overlay, size) = (directory.join("overlay"), size / 512 * 512);
        create_overlay(&overlay, Path::new(&name), size).unwrap();
        let said = header(&overlay).unwrap();
        prop_assert_eq!(&said, &Header { backing_file: Some(name.into()), virtual_size: size, ..said.clone() });
        prop_assert!(said.generation.is_some());
        let length = overlay.metadata().unwrap().len();
        rename_backing_file(&overlay, Path::new(&other)).unwrap();
        prop_assert_eq!(header(&overlay).unwrap(), Header { backing_file: Some(other.into()), ..said });
        prop_assert_eq!(overlay.metadata().unwrap().len(), length);
    }
}

#[test]
fn a_generation_is_replaced_in_place_and_no_two_overlays_have_the_same() {
    let (_directory, directory) = in_directory();
    let (one, two) = (directory.join("one"), directory.join("two"));
    for overlay in [&one, &two] {
        create_overlay(overlay, Path::new("/base"), 1 << 30).unwrap();
    }
    let before = (header(&one).unwrap(), std::fs::read(&one).unwrap());
    assert_ne!(before.0.generation, header(&two).unwrap().generation);
    let generation = new_generation();
    set_generation(&one, &generation).unwrap();
    assert_eq!(header(&one).unwrap(), Header { generation: Some(generation), ..before.0 });
    let changed = std::fs::read(&one).unwrap().iter().zip(&before.1).filter(|(now, then)| now != then).count();
    assert!((1..=Generation::LENGTH).contains(&changed), "{changed} bytes");
}

#[test]
fn a_disk_of_an_earlier_version_could_not_be_started_because_its_header_had_no_generation() {
    let (_directory, directory) = in_directory();
    let disk = directory.join("disk");
    create_overlay(&disk, Path::new("/the base"), 1 << 30).unwrap();
    let with = header(&disk).unwrap();
    // An earlier version wrote the same without the extension.
    let mut old = std::fs::read(&disk).unwrap();
    let at = old.windows(4).position(|word| word == GENERATION.to_be_bytes()).unwrap();
    let length = 8 + Generation::LENGTH;
    old.drain(at..at + length);
    old.splice(at + 8 + 9..at + 8 + 9, vec![0; length]);
    let offset = u64::from_be_bytes(old[8..16].try_into().unwrap()) - length as u64;
    old[8..16].copy_from_slice(&offset.to_be_bytes());
    std::fs::write(&disk, &old).unwrap();
    assert_eq!(header(&disk).unwrap(), Header { generation: None, ..with.clone() });
    let generation = new_generation();
    set_generation(&disk, &generation).unwrap();
    assert_eq!(header(&disk).unwrap(), Header { generation: Some(generation.clone()), ..with });
    assert_eq!(std::fs::read(&disk).unwrap()[1 << 16..], old[1 << 16..], "more than the header was changed");
    set_generation(&disk, &generation).unwrap();
}

#[test]
fn the_backing_file_of_a_write_protected_image_is_renamed_and_the_image_stays_protected() {
    let (_directory, directory) = in_directory();
    let overlay = directory.join("overlay");
    create_overlay(&overlay, Path::new("/base"), 1 << 30).unwrap();
    std::fs::set_permissions(&overlay, Permissions::from_mode(0o400)).unwrap();
    rename_backing_file(&overlay, Path::new("/a longer name")).unwrap();
    assert_eq!(overlay.metadata().unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(header(&overlay).unwrap().backing_file.as_deref(), Some(Path::new("/a longer name")));
}

#[test]
fn a_file_that_is_not_a_qcow2_image_is_named() {
    let (_directory, directory) = in_directory();
    let said = |bytes: &[u8]| {
        std::fs::write(directory.join("disk"), bytes).unwrap();
        header(&directory.join("disk")).unwrap_err().to_string().replace(directory.to_str().unwrap(), "")
    };
    assert_eq!(said(b""), "cannot read the disk /disk: it is not a qcow2 image");
    assert_eq!(said(&[7; 4096]), "cannot read the disk /disk: it is not a qcow2 image");
    let mut overlay = empty_overlay(b"/base", 1 << 30, &new_generation()).unwrap();
    overlay[16..20].copy_from_slice(&1024_u32.to_be_bytes());
    assert_eq!(said(&overlay), "cannot read the disk /disk: its header is damaged");
    overlay[16..20].copy_from_slice(&5_u32.to_be_bytes());
    overlay[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
    assert_eq!(said(&overlay), "cannot read the disk /disk: its header is damaged");
    assert_eq!(said(&overlay[..80]), "cannot read the disk /disk: its header is damaged");
}

#[test]
fn names_and_sizes_beyond_the_format_are_refused() {
    let (_directory, directory) = in_directory();
    let overlay = directory.join("overlay");
    let long = format!("/{}", "n".repeat(LONGEST_NAME));
    for (base, size) in [(long.as_str(), 512), ("relative", 512), ("/base", 1 << 62)] {
        let error = create_overlay(&overlay, Path::new(base), size).unwrap_err();
        assert!(error.to_string().starts_with("cannot make the disk "), "{error}");
        assert!(!overlay.exists());
    }
}

#[test]
fn a_relative_name_is_relative_to_the_directory_of_the_image() {
    let (_directory, directory) = in_directory();
    let overlay = directory.join("overlay");
    std::fs::write(&overlay, empty_overlay(b"../base", 1 << 30, &new_generation()).unwrap()).unwrap();
    assert_eq!(header(&overlay).unwrap().backing_file, Some(directory.join("../base")));
    std::fs::write(&overlay, empty_overlay(b"", 1 << 30, &new_generation()).unwrap()).unwrap();
    let without = std::fs::read(&overlay).unwrap();
    std::fs::write(&overlay, [&without[..8], &[0; 8], &without[16..]].concat()).unwrap();
    assert_eq!(header(&overlay).unwrap().backing_file, None);
    rename_backing_file(&overlay, Path::new("/base")).unwrap_err();
}
