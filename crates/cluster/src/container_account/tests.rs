//! Answers of the cluster about the account: each is checked before it is used.

use super::*;

const NOW: &str = "2026-11-30T12:00:00Z";

fn secret(issued: &str, expires: &str, token: &str) -> Value {
    json!({
        "metadata": {"uid": "u", "annotations": {ISSUED: issued, EXPIRES: expires}},
        "data": {TOKEN: STANDARD.encode(token)},
    })
}

fn is_fresh(secret: &Value) -> bool {
    fresh_token(secret, humantime::parse_rfc3339(NOW).unwrap()).is_some()
}

#[test]
fn a_token_is_used_until_half_of_its_life_is_over() {
    for (issued, expires, expected) in [
        ("2026-11-30T11:00:00Z", "2027-11-30T11:00:00Z", true),
        ("2026-06-15T00:00:00Z", "2027-06-15T00:00:00Z", true),
        ("2026-05-01T00:00:00Z", "2027-05-01T00:00:00Z", false),
        // Whatever life the server gives it.
        ("2026-11-30T11:50:00Z", "2026-11-30T12:50:00Z", true),
        ("2026-11-30T11:00:00Z", "2026-11-30T12:30:00Z", false),
        ("2026-11-30T11:00:00Z", "2026-11-30T11:30:00Z", false),
        ("2027-11-30T11:00:00Z", "2026-11-30T11:00:00Z", false),
        ("yesterday", "2027-11-30T11:00:00Z", false),
        ("2026-11-30T11:00:00Z", "never", false),
    ] {
        assert_eq!(is_fresh(&secret(issued, expires, "a.b-c_d")), expected, "{issued} {expires}");
    }
}

#[test]
fn a_secret_that_somebody_has_changed_gives_no_token() {
    let good = secret("2026-11-30T11:00:00Z", "2027-11-30T11:00:00Z", "a.b");
    assert!(is_fresh(&good));
    for token in ["", "a b", "a\nb", "\"}", "\u{1b}[2J", &"a".repeat(1 << 20)] {
        assert!(!is_fresh(&secret("2026-11-30T11:00:00Z", "2027-11-30T11:00:00Z", token)), "{token:?}");
    }
    for (place, value) in [
        ("/data/token", json!("%%%")),
        ("/data/token", json!("/w==")),
        ("/data/token", json!(1)),
        ("/data", json!("a")),
        ("/metadata", json!([])),
        ("/metadata/annotations", Value::Null),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = value;
        assert!(!is_fresh(&changed), "{changed}");
    }
    assert!(!is_fresh(&Value::Null) && !is_fresh(&json!([1])));
}

#[test]
fn a_binding_counts_only_where_it_binds_our_account_alone() {
    let subject =
        json!({"kind": "ServiceAccount", "name": CONTAINER_ACCOUNT, "namespace": CONTAINER_ACCOUNT_NAMESPACE});
    let binding = |kind: &str, subjects: Value| json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "view"}, "subjects": subjects});
    assert_eq!(bound_role(&binding("ClusterRole", json!([subject]))), Some("view"));
    let other = json!({"kind": "Group", "name": "system:authenticated"});
    for strange in [
        binding("Role", json!([subject])),
        binding("ClusterRole", json!([subject, other])),
        binding("ClusterRole", json!([other])),
        binding("ClusterRole", json!([])),
        binding("ClusterRole", json!([1])),
        json!({"subjects": [subject]}),
        json!({"roleRef": [], "subjects": [subject]}),
        Value::Null,
    ] {
        assert_eq!(bound_role(&strange), None, "{strange}");
    }
}
