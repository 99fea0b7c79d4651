//! Malicious archives: they are refused, and only files that images need reach containerd.

use super::*;

const NAME: &str = "io.containerd.image.name";

fn link(path: &str, target: &str) -> (tar::Header, String, Vec<u8>) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_link_name_literal(target).unwrap();
    (header, path.to_owned(), Vec::new())
}

fn file(path: &str, content: &[u8]) -> (tar::Header, String, Vec<u8>) {
    (tar::Header::new_gnu(), path.to_owned(), content.to_vec())
}

/// A tar with unchecked paths, of which the library would refuse some.
fn tar_with(entries: &[(tar::Header, String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (header, path, content) in entries {
        let mut header = header.clone();
        header.set_size(content.len() as u64);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn manifest(config: &str, layers: &[&str]) -> Vec<u8> {
    bytes(&json!([{"Config": config, "RepoTags": ["web"], "Layers": layers}]))
}

fn refusal(tar: &[u8]) -> String {
    let told = match read(tar, None) {
        Err(error) => error,
        Ok(archive) => archive.write_normalized(&mut std::io::sink()).unwrap_err(),
    };
    assert_eq!(told.class(), ErrorClass::Config, "{told}");
    told.to_string().replace("standard input is no archive of container images: ", "")
}

/// An OCI archive with one image of this manifest.
fn oci_with(manifest: &Value, more: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let manifest = bytes(manifest);
    let index = json!({"manifests": [{"mediaType": MANIFEST, "digest": digest(&manifest), "size": manifest.len(),
        "annotations": {NAME: "web"}}]});
    let path = blob(&manifest);
    let mut files = vec![("index.json", bytes(&index)), (path.as_str(), manifest)];
    files.extend(more.iter().cloned());
    tar_of(&files)
}

#[test]
fn a_piece_of_a_script_as_digest_is_refused_everywhere() {
    let attack = "sha256:'; touch /root/pwned; '";
    let good = oci();
    let mut of_index = with_annotations(&good, json!({NAME: "web"}));
    of_index["manifests"][0]["digest"] = attack.into();
    let layer = json!({"digest": attack, "size": 1});
    let config = json!({"digest": good.config_digest, "size": 25});
    for tar in [
        oci_archive(&good, of_index, &[]),
        oci_with(&json!({"config": {"digest": attack, "size": 1}, "layers": []}), &[]),
        oci_with(&json!({"config": config, "layers": [layer]}), &[]),
        oci_with(&json!({"manifests": [layer]}), &[]),
        tar_of(&[
            ("config.json", bytes(&json!({"rootfs": {"diff_ids": [attack]}}))),
            ("manifest.json", manifest("config.json", &["config.json"])),
        ]),
    ] {
        let told = refusal(&tar);
        assert!(told.contains("is no digest, which is `sha256:` and 64 hexadecimal digits"), "{told}");
    }
}

#[test]
fn a_blob_that_does_not_match_its_name_is_refused() {
    let (config, layer) = (configuration(&[b"layer"]), b"layer".to_vec());
    let of = |content: &[u8]| json!({"digest": digest(content), "size": content.len()});
    let told = json!({"config": of(&config), "layers": [of(&layer)]});
    let (config_path, layer_path) = (blob(&config), blob(&layer));
    let with = |config: &[u8], layer: &[u8]| {
        oci_with(&told, &[(&config_path, config.to_vec()), (&layer_path, layer.to_vec())])
    };
    let good = read(&with(&config, &layer), None).unwrap();
    assert!(files_of(&rewritten(&good)).contains_key(&layer_path));
    let mut changed = config.clone();
    changed[0] ^= 1;
    let mut messages = vec![
        refusal(&with(&config, b"LAYER")),
        refusal(&with(&changed, &layer)),
        refusal(&with(&config, b"layer and more")),
    ];
    // A manifest with other content under the name in the index.
    let oci = oci();
    let other = (
        oci.manifest["digest"].as_str().unwrap().replacen("sha256:", "blobs/sha256/", 1),
        vec![b' '; oci.manifest["size"].as_u64().unwrap() as usize],
    );
    let index = bytes(&with_annotations(&oci, json!({NAME: "web"})));
    messages.push(refusal(&tar_of(&[("index.json", index), (&other.0, other.1)])));
    // The configuration of a docker archive has the digests of the layers, and its own in its name.
    let docker = |path: &str, layer: &[u8]| {
        tar_of(&[
            (path, config.clone()),
            ("a/layer.tar", layer.to_vec()),
            ("manifest.json", manifest(path, &["a/layer.tar"])),
        ])
    };
    messages.push(refusal(&docker("config.json", b"LAYER")));
    messages.push(refusal(&docker(&format!("{}.json", &digest(b"other")[7..]), &layer)));
    for message in &messages {
        let expected =
            ["does not match its name", "is not what it should be", "does not have the size that the archive states"];
        assert!(expected.iter().any(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn only_files_that_images_need_reach_containerd() {
    let oci = oci();
    let more = [("blobs/sha256/zzz", b"1".to_vec()), ("manifests/pod.yaml", b"2".to_vec()), ("evil", b"3".to_vec())];
    let archive = read(&oci_archive(&oci, with_annotations(&oci, json!({NAME: "web"})), &more), None).unwrap();
    let mut expected: Vec<String> = oci.files.iter().map(|(path, _)| path.clone()).collect();
    expected.extend(["index.json".to_owned(), "oci-layout".to_owned()]);
    expected.sort();
    assert_eq!(files_of(&rewritten(&archive)).into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn paths_that_lead_out_of_the_archive_are_refused() {
    let docker = |more: &[(tar::Header, String, Vec<u8>)]| {
        let mut entries = vec![
            file("config.json", &configuration(&[b"layer"])),
            file("a/layer.tar", b"layer"),
            file("manifest.json", &manifest("config.json", &["b/layer.tar"])),
        ];
        entries.extend(more.iter().cloned());
        tar_with(&entries)
    };
    // `docker save` stores a layer of two images once, with a link to it.
    for target in ["../a/layer.tar", "./../a/./layer.tar"] {
        let archive = read(&docker(&[link("b/layer.tar", target)]), None).unwrap();
        assert_eq!(files_of(&rewritten(&archive))["layer-1.tar"], b"layer");
    }
    let mut messages = String::new();
    for more in [
        vec![file("../../etc/passwd", b"x")],
        vec![file("/etc/passwd", b"x")],
        vec![file("b/../../x", b"x")],
        vec![link("b/layer.tar", "/etc/shadow")],
        vec![link("b/layer.tar", "../../a/layer.tar")],
        vec![link("b/layer.tar", "../c"), link("c", "b/layer.tar")],
        vec![file("b/layer.tar", b"layer"), file("./b/layer.tar", b"LAYER")],
        vec![file("b/layer.tar", b"layer"), link("b/layer.tar", "../a/layer.tar")],
        vec![link("b/layer.tar", "../a/layer.tar"), file("b/layer.tar", b"layer")],
        vec![file("b\x1b[2J", b"x")],
    ] {
        messages += &format!("{}\n", refusal(&docker(&more)));
    }
    insta::assert_snapshot!(messages, @r#"
    the path ../../etc/passwd in it leads out of it
    the path /etc/passwd in it leads out of it
    the path b/../../x in it leads out of it
    the link b/layer.tar: the path /etc/shadow in it leads out of it
    the link b/layer.tar: the path ../../a/layer.tar in it leads out of it
    b/layer.tar in it is a link through too many links
    it has two files of the name b/layer.tar
    it has two files of the name b/layer.tar
    it has two files of the name b/layer.tar
    a path in it is no text
    "#);
}

#[test]
fn an_archive_without_an_end_is_refused_before_it_is_held() {
    let huge = |kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path("x").unwrap();
        header.set_size(size);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(200_000, b'a');
        bytes
    };
    let pax = |record: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_path("pax").unwrap();
        header.set_size(record.len() as u64);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(record.as_bytes());
        bytes.resize(1024, 0);
        bytes.extend(huge(tar::EntryType::Regular, 10));
        bytes
    };
    let directory = huge(tar::EntryType::Directory, 0)[..512].repeat(70_000);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = |before: &str, after: &str| tar_of(&[("manifest.json", format!("{before}{deep}{after}").into_bytes())]);
    let mut messages = String::new();
    for tar in [
        huge(tar::EntryType::GNULongName, 100_000),
        huge(tar::EntryType::GNULongLink, u64::MAX),
        huge(tar::EntryType::XHeader, 100_000),
        huge(tar::EntryType::XGlobalHeader, 100_000),
        huge(tar::EntryType::GNUSparse, 10),
        huge(tar::EntryType::Regular, u64::MAX - 600),
        pax("29 size=18446744073709551615\n"),
        pax("9 size=x\n"),
        pax("999 path=x\n"),
        pax("22 GNU.sparse.major=1\n"),
        directory,
        tar_of(&[("manifest.json", vec![b' '; 5 << 20])]),
        deep("", ""),
        deep("[{\"Config\": \"c\", \"x\": ", "}]"),
        tar_of(&[("manifest.json", bytes(&json!(vec![json!({"Config": "c"}); 2000])))]),
    ] {
        messages += &format!("{}\n", refusal(&tar));
    }
    insta::assert_snapshot!(messages, @r#"
    a header in it has more than 65536 bytes
    it is no tar file
    a header in it has more than 65536 bytes
    a header in it has more than 65536 bytes
    it has a sparse file
    it is no tar file
    its header at byte 1024 is damaged
    a header in it is damaged
    a header in it is damaged
    it has a sparse file
    it has more than 65536 files
    manifest.json in it is too large to be read: 5242880 bytes
    manifest.json in it cannot be read: invalid type: sequence, expected a string at line 1 column 2
    an image in it has no name: give it one when the archive is made (docker save NAME:TAG)
    it has more than 1024 images
    "#);
}

#[test]
fn a_document_that_is_a_manifest_for_one_reader_and_an_index_for_another_is_refused() {
    let good = oci();
    let config = json!({"digest": good.config_digest, "size": 25});
    let index_type = "application/vnd.oci.image.index.v1+json";
    for document in [
        json!({"config": config, "layers": [], "manifests": []}),
        json!({"mediaType": index_type, "config": config, "layers": []}),
        json!({"layers": []}),
        json!({"mediaType": MANIFEST, "manifests": []}),
    ] {
        let told = refusal(&oci_with(&document, &[]));
        assert!(told.contains("is neither a manifest nor an index"), "{told}");
    }
    let mut index = with_annotations(&good, json!({NAME: "web"}));
    index["manifests"][0]["mediaType"] = "text/html".into();
    insta::assert_snapshot!(refusal(&oci_archive(&good, index, &[])), @r#"index.json in it leads to "text/html", which is no container image"#);
}

#[test]
fn an_index_that_names_one_missing_thing_a_thousand_times_in_levels_occupied_the_host_for_ever() {
    let mut child = json!({"mediaType": MANIFEST, "digest": digest(b"nothing"), "size": 7});
    let mut files = Vec::new();
    for _ in 0..2 {
        let index = bytes(&json!({"manifests": vec![child; 1000]}));
        child = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(&index), "size": index.len(),
            "annotations": {NAME: "web"}});
        files.push((blob(&index), index));
    }
    files.push(("index.json".to_owned(), bytes(&json!({"manifests": [child]}))));
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(path, content)| (path.as_str(), content.clone())).collect();
    let told = refusal(&tar_of(&files));
    assert!(told.contains("it has no file blobs/sha256/"), "{told}");
}

#[test]
fn a_stream_without_an_end_stops_at_the_limit_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let limit = SizeLimit {
        bytes: 3 << 20,
        why: "the guest's disk has 3 MiB".to_owned(),
        next: "k3s-vm reset --disk 40GiB".to_owned(),
    };
    let error = ImageArchive::from_reader(&mut std::io::repeat(7), directory.path(), &limit, None).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Host);
    insta::assert_snapshot!(error, @r#"the archive from standard input is larger than 3.0 MiB: the guest's disk has 3 MiB"#);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let error = ImageArchive::open(Path::new("/dev/zero"), None).unwrap_err();
    insta::assert_snapshot!(error, @r#"/dev/zero is no archive of container images: it is no file"#);
}

proptest::proptest! {
    /// A changed byte anywhere in an archive makes it refused, or does not reach containerd.
    #[test]
    fn no_change_of_a_byte_gets_through(at in 0usize..1_000_000, bit in 0u8..8) {
        let layer = vec![7; 600];
        let config = configuration(&[&layer]);
        let config_path = format!("{}.json", &digest(&config)[7..]);
        let mut tar = tar_of(&[
            (&config_path, config),
            ("a/layer.tar", layer),
            ("manifest.json", manifest(&config_path, &["a/layer.tar"])),
        ]);
        let whole = files_of(&rewritten(&read(&tar, None).unwrap()));
        let at = at % tar.len();
        tar[at] ^= 1 << bit;
        if let Ok(archive) = read(&tar, None) {
            let mut output = Vec::new();
            if archive.write_normalized(&mut output).is_ok() {
                let mut after = files_of(&output);
                // The maker of an archive chooses its names.
                if after.contains_key("manifest.json") {
                    after.insert("manifest.json".to_owned(), whole["manifest.json"].clone());
                }
                proptest::prop_assert_eq!(after, whole);
            }
        }
    }

    /// Any bytes are read or refused, without a panic.
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..3000)) {
        let _ = read(&bytes, None);
        let mut header = tar::Header::new_gnu();
        for (place, byte) in header.as_mut_bytes().iter_mut().zip(&bytes) {
            *place = *byte;
        }
        header.set_cksum();
        let _ = read(&[header.as_bytes().as_slice(), &bytes].concat(), None);
    }
}
