//! Tests of the `.env` document: tables of the grammar, and properties over arbitrary bytes.

use proptest::prelude::*;

use super::*;

fn variables(text: &str) -> Vec<(String, String)> {
    Document::parse(text.as_bytes()).variables()
}

fn problems(bytes: &[u8]) -> Vec<(usize, ProblemKind)> {
    Document::parse(bytes).problems().iter().map(|problem| (problem.line, problem.kind)).collect()
}

fn after_set(text: &str, name: &str, value: &str) -> String {
    let mut document = Document::parse(text.as_bytes());
    assert!(document.set(name, value), "{text:?}");
    String::from_utf8(document.to_bytes()).unwrap()
}

#[test]
fn reads_values() {
    for (line, expected) in [
        ("A=b", "b"),
        ("  A  =  b  ", "b"),
        ("export A=b", "b"),
        ("export\tA = b", "b"),
        ("A: b", "b"),
        ("A=", ""),
        ("A=   ", ""),
        ("A= # comment", ""),
        ("A=#comment", ""),
        ("A=b # comment", "b"),
        ("A=b\t# comment", "b"),
        ("A=b#c", "b#c"),
        ("A=b=c==", "b=c=="),
        ("A=two words", "two words"),
        ("A='b # c'", "b # c"),
        ("A='b' # it's a comment", "b"),
        ("A=\"b\"# comment", "b"),
        ("A='a\\nb'", "a\\nb"),
        ("A=`it's \"b\"`", "it's \"b\""),
        ("A=\"a\\nb\\r\\\\n\\\"\\t$B\"", "a\nb\r\\n\"\\t$B"),
        ("A=\"\"", ""),
        ("A=''", ""),
        ("A=\"x\\\\\"", "x\\"),
        ("A=it's", "it's"),
        ("A={\"b\": \"c\"}", "{\"b\": \"c\"}"),
        ("A=$HOME/${B}", "$HOME/${B}"),
        ("\u{feff}A=b", "b"),
    ] {
        for end in ["", "\n", "\r\n"] {
            let text = format!("{line}{end}");
            assert_eq!(variables(&text), [("A".to_owned(), expected.to_owned())], "{text:?}");
        }
    }
}

#[test]
fn reads_names() {
    for (line, name) in [
        ("export=1", "export"),
        ("export =1", "export"),
        ("exported=1", "exported"),
        ("a.b-c_D9=1", "a.b-c_D9"),
        ("9=1", "9"),
    ] {
        assert_eq!(variables(line), [(name.to_owned(), "1".to_owned())], "{line}");
    }
}

#[test]
fn quoted_values_span_lines() {
    let text = "KEY=\"-----BEGIN-----\r\nabc=\r\n-----END-----\" # key\r\nB='one\ntwo'\nC=3\n";
    let expected = [("KEY", "-----BEGIN-----\nabc=\n-----END-----"), ("B", "one\ntwo"), ("C", "3")];
    assert_eq!(variables(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn the_last_value_counts_at_the_first_place() {
    let expected = [("A", "3"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(variables("A=1\nB=2\nA=3\n"), expected);
}

#[test]
fn reports_problems_by_line_and_continues() {
    for (text, expected) in [
        (&b"A=1\nnonsense\nB=2\n"[..], &[(2, ProblemKind::NotAnAssignment)][..]),
        (b"export A\n", &[(1, ProblemKind::NotAnAssignment)]),
        (b"A:b\n=b\n", &[(1, ProblemKind::NotAnAssignment), (2, ProblemKind::NotAnAssignment)]),
        (b"# fine\n\nA=\"open\nB=2\n", &[(3, ProblemKind::UnclosedQuote)]),
        (b"A='one' two\n", &[(1, ProblemKind::TextAfterQuote)]),
        (b"X='1\n2'\nA=a#b\n", &[(3, ProblemKind::HashInValue)]),
        (b"A=1\nB=\xff\n", &[(2, ProblemKind::NotUtf8)]),
        (b"A='1\n\xff'\n", &[(2, ProblemKind::NotUtf8)]),
        (b"\xff\n# \xff is fine in a comment\n", &[(1, ProblemKind::NotUtf8)]),
    ] {
        assert_eq!(problems(text), expected, "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(variables("A=\"open\nB=2\n"), [("A".into(), "\"open".into()), ("B".into(), "2".into())]);
    assert_eq!(variables("A='one' two\n"), [("A".into(), "'one' two".into())]);
}

#[test]
fn a_value_that_is_not_utf_8_has_no_value() {
    let mut document = Document::parse(b"A=1\nA=\xff\nB=2\n");
    assert_eq!(document.get("A"), None);
    assert_eq!(document.variables(), [("B".into(), "2".into())]);
    assert!(document.set("A", "3"));
    assert_eq!(document.to_bytes(), b"A=1\nA=3\nB=2\n");
}

#[test]
fn problems_read_as_sentences() {
    let text = b"nonsense\nA=\"open\nB='x' y\nC=a#b\nD=\xff\n";
    let sentences: Vec<String> = Document::parse(text).problems().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r"
    line 1 is neither an assignment (NAME=value) nor a comment
    line 2 opens a quote that is never closed
    line 3 has text after the closing quote
    line 4 has a # in an unquoted value, where some programs end it: put it in quotes
    line 5 has bytes that are not UTF-8
    ");
}

#[test]
fn set_changes_the_value_and_nothing_else() {
    for (before, after) in [
        ("K=old\n", "K=new\n"),
        ("K=old", "K=new"),
        ("K=old\r\nB=2\r\n", "K=new\r\nB=2\r\n"),
        ("  export  K = old  # why\nB=2", "  export  K = new  # why\nB=2"),
        ("K=\n", "K=new\n"),
        ("K=   # why\n", "K=new   # why\n"),
        ("K='old' # why\n", "K='new' # why\n"),
        ("K=\"old\"\n", "K=\"new\"\n"),
        ("K=`old`\n", "K=`new`\n"),
        ("K=\"one\ntwo\"\nB=2\n", "K=\"new\"\nB=2\n"),
        ("K=1\nB=2\nK=3\n", "K=1\nB=2\nK=new\n"),
        ("K=\"open\nB=2\n", "K=new\nB=2\n"),
        ("# K=old\nB=2\n", "# K=old\nB=2\nK=new\n"),
        ("B=2", "B=2\nK=new\n"),
        ("A=1\r\nB=2", "A=1\r\nB=2\r\nK=new\r\n"),
        ("A=1\r\n", "A=1\r\nK=new\r\n"),
        ("", "K=new\n"),
        ("\u{feff}", "\u{feff}K=new\n"),
        ("KK=1\nXK=2\n", "KK=1\nXK=2\nK=new\n"),
    ] {
        assert_eq!(after_set(before, "K", "new"), after, "{before:?}");
    }
}

#[test]
fn set_leaves_an_equal_value_as_it_is() {
    for text in ["K='new'", "K=\"n\\\"ew\"\r\n", "export K=`x` # y\n"] {
        let value = Document::parse(text.as_bytes()).get("K").unwrap();
        assert_eq!(after_set(text, "K", &value), text);
    }
}

#[test]
fn set_quotes_what_needs_it() {
    for (value, expected) in [
        ("./kubeconfig.yaml", "K=./kubeconfig.yaml\n"),
        ("YXBpVmVyc2lvbjogdjE+/w==", "K=YXBpVmVyc2lvbjogdjE+/w==\n"),
        ("", "K=\n"),
        ("two words", "K=\"two words\"\n"),
        ("a#b", "K=\"a#b\"\n"),
        ("$HOME", "K='$HOME'\n"),
        ("say \"it\"", "K='say \"it\"'\n"),
        ("it's", "K=\"it's\"\n"),
        ("it's \"it\"", "K=`it's \"it\"`\n"),
        ("it's `\"it\"`", "K=\"it's `\\\"it\\\"`\"\n"),
        ("one\ntwo", "K=\"one\\ntwo\"\n"),
        ("C:\\temp\\", "K=\"C:\\\\temp\\\\\"\n"),
        ("caf\u{e9}", "K=\"caf\u{e9}\"\n"),
    ] {
        assert_eq!(after_set("", "K", value), expected, "{value:?}");
    }
}

#[test]
fn set_changes_the_quotes_if_they_cannot_carry_the_value() {
    assert_eq!(after_set("K='old' # why\n", "K", "it's"), "K=\"it's\" # why\n");
    assert_eq!(after_set("K=\"old\" # why\n", "K", "$1"), "K='$1' # why\n");
    assert_eq!(after_set("K=old # why\n", "K", ""), "K= # why\n");
}

#[test]
fn an_unclosed_quote_above_does_not_swallow_the_new_line() {
    for value in ["plain", " # x", "a\" #", "' #"] {
        let before = "A=\"open\n";
        let mut document = Document::parse(before.as_bytes());
        assert!(document.set("K", value), "{value:?}");
        assert_eq!(document.get("K").as_deref(), Some(value));
        assert_eq!(document.get("A").as_deref(), Some("\"open"), "{value:?}");
    }
}

#[test]
fn a_colon_at_the_end_of_a_line_is_an_empty_value() {
    for text in ["A:", "A:\n", "A:\r\n", "A: ", "A: # why"] {
        assert_eq!(Document::parse(text.as_bytes()).get("A").as_deref(), Some(""), "{text:?}");
    }
    assert_eq!(after_set("\r\nA:", "K", ""), "\r\nA:\r\nK=\r\n");
}

#[test]
fn an_empty_value_behind_a_colon_can_be_set() {
    assert_eq!(after_set("A:", "A", "new"), "A: new");
    assert_eq!(after_set("A:\r\n", "A", "new"), "A: new\r\n");
    assert_eq!(after_set("A: # why\n", "A", "new"), "A: new # why\n");
}

#[test]
fn set_refuses_what_cannot_be_a_name() {
    for name in ["", "a b", "a=b", "a\nb", "\u{e9}", "#a"] {
        let mut document = Document::parse(b"A=1\n");
        assert!(!document.set(name, "x"), "{name:?}");
        assert_eq!(document.to_bytes(), b"A=1\n");
    }
}

/// Documents made of pieces of the grammar and arbitrary bytes.
fn documents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop_oneof![
            Just("K="), Just("K"), Just("A="), Just("export "), Just("B: "), Just("K:"), Just(" "), Just("\t"), Just("#"),
            Just("'"), Just("\""), Just("`"), Just("\\"), Just("\\\""), Just("value"), Just("="), Just("\u{feff}"),
        ].prop_map(|text| text.as_bytes().to_vec()),
        3 => prop_oneof![Just("\n"), Just("\r\n"), Just("\r")].prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn values() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ='\"`#$\\\\\n\r\t]{0,12}", any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_document_comes_back_as_it_was(bytes in documents()) {
        prop_assert_eq!(Document::parse(&bytes).to_bytes(), bytes);
    }

    #[test]
    fn what_is_set_is_read_again(value in values()) {
        let mut document = Document::parse(b"A=1\n");
        prop_assert!(document.set("K", &value));
        let text = String::from_utf8(document.to_bytes()).unwrap();
        prop_assert_eq!(Document::parse(text.as_bytes()).get("K"), Some(value));
        prop_assert_eq!(text.matches('\n').count(), 2, "the new assignment is one line: {:?}", text);
    }

    #[test]
    fn set_changes_one_place_of_any_document(bytes in documents(), value in values()) {
        let before = Document::parse(&bytes);
        let mut after = before.clone();
        if !after.set("K", &value) {
            // Only an unclosed quote can be in the way, and then nothing is changed.
            prop_assert_eq!(after.to_bytes(), bytes);
            let is_quote = |kind| matches!(kind, ProblemKind::UnclosedQuote | ProblemKind::TextAfterQuote);
            let in_the_way = before.problems().iter().any(|problem| is_quote(problem.kind));
            prop_assert!(in_the_way);
            return Ok(());
        }
        let read = Document::parse(&after.to_bytes());
        prop_assert_eq!(&read, &after);
        prop_assert_eq!(read.get("K"), Some(value));
        match before.last("K") {
            Some(assignment) => {
                let written = after.to_bytes();
                let tail = &bytes[assignment.span.end..];
                prop_assert_eq!(&written[..assignment.span.start], &bytes[..assignment.span.start]);
                prop_assert!(written[assignment.span.start..].ends_with(tail));
            }
            None => prop_assert!(after.to_bytes().starts_with(&bytes)),
        }
        prop_assert!(read.differs_only_in(&before, "K"));
    }

    #[test]
    fn a_plain_value_can_always_be_set(bytes in documents(), value in "[A-Za-z0-9+/=._-]{1,40}") {
        let mut document = Document::parse(&bytes);
        prop_assert!(document.set("K", &value));
        prop_assert_eq!(document.get("K"), Some(value));
    }

    #[test]
    fn setting_twice_is_setting_once(bytes in documents(), value in values()) {
        let mut once = Document::parse(&bytes);
        once.set("K", &value);
        let mut twice = once.clone();
        twice.set("K", &value);
        prop_assert_eq!(once, twice);
    }
}
