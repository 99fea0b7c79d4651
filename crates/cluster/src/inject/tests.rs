//! The Deployments after the injection, and the parts that it does not change.

use model::config::Patterns;
use proptest::prelude::*;

use super::*;
use crate::manifest::{ManifestText, parse};

fn manifests(text: &str) -> Vec<ManifestObject> {
    parse(&[ManifestText { file: "web.yaml".to_owned(), text: text.to_owned() }]).unwrap()
}

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {annotations: {mine: kept}}
    spec:
      initContainers: [{name: prepare, image: a}]
      containers:
      - name: web
        image: b
        env: [{name: PORT, value: '80'}]
      - name: side
        image: c
        envFrom: [{configMapRef: {name: own}}]
";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Rules that exclude nothing.
fn by(mode: InjectMode) -> InjectConfig {
    InjectConfig {
        mode,
        deployments: Patterns::all(),
        containers: Patterns::all(),
        variables: Patterns::all(),
        cluster_role: None,
    }
}

fn only(pattern: &str) -> Patterns {
    Patterns::new(vec![pattern.to_owned()])
}

fn template(injection: &Injection) -> &Value {
    let deployment = injection.objects.iter().find(|object| object.is_deployment()).unwrap();
    &deployment.value()["spec"]["template"]
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn mode_secret_makes_a_secret_and_refers_to_it_in_every_container() {
    let env = variables(&[("PORT", "81"), ("NAME", "shop"), ("KUBECONFIG", "./x"), ("KUBECONFIG_PRIMARY", "host")]);
    let injection = inject(manifests(WEB), &env, &by(InjectMode::Secret), Some("inside"));
    insta::assert_snapshot!(pretty(injection.objects[0].value()), @r#"
    {
      "apiVersion": "v1",
      "kind": "Secret",
      "metadata": {
        "name": "web-env",
        "namespace": "shop"
      },
      "type": "Opaque",
      "data": {
        "KUBECONFIG_PRIMARY": "aW5zaWRl",
        "NAME": "c2hvcA==",
        "PORT": "ODE="
      }
    }
    "#);
    insta::assert_snapshot!(pretty(template(&injection)), @r#"
    {
      "metadata": {
        "annotations": {
          "mine": "kept",
          "k3s-vm.dev/env-sha256": "507bcee39f58e330766150850e6ad192a4de529ed334d59618edc3c1022d36eb"
        }
      },
      "spec": {
        "initContainers": [
          {
            "name": "prepare",
            "image": "a"
          }
        ],
        "containers": [
          {
            "name": "web",
            "image": "b",
            "env": [
              {
                "name": "PORT",
                "value": "80"
              }
            ],
            "envFrom": [
              {
                "secretRef": {
                  "name": "web-env"
                }
              }
            ]
          },
          {
            "name": "side",
            "image": "c",
            "envFrom": [
              {
                "secretRef": {
                  "name": "web-env"
                }
              },
              {
                "configMapRef": {
                  "name": "own"
                }
              }
            ]
          }
        ]
      }
    }
    "#);
    assert_eq!(template(&injection)["metadata"]["annotations"][HASH_ANNOTATION], injection.hash.as_str());
    assert!(injection.refused.is_empty());
}

#[test]
fn rules_leave_out_deployments_containers_and_variables() {
    let env = variables(&[("PORT", "81"), ("SECRET_KEY", "x")]);
    let other = InjectConfig { deployments: only("default/web"), ..by(InjectMode::Secret) };
    assert_eq!(inject(manifests(WEB), &env, &other, Some("k")).objects, manifests(WEB));

    let rules = InjectConfig {
        deployments: only("shop/*"),
        containers: only("si?e"),
        variables: only("!SECRET_*"),
        ..by(InjectMode::Env)
    };
    let injection = inject(manifests(WEB), &env, &rules, Some("k"));
    let containers = &template(&injection)["spec"]["containers"];
    assert_eq!(containers[0]["env"], serde_json::json!([{"name": "PORT", "value": "80"}]));
    assert_eq!(
        containers[1]["env"],
        serde_json::json!([{"name": "KUBECONFIG_PRIMARY", "value": "k"}, {"name": "PORT", "value": "81"}])
    );
}

#[test]
fn mode_env_adds_literals_and_the_manifests_own_win() {
    let env = variables(&[("PORT", "81"), ("NAME", "old"), ("NAME", "$(PORT)$x"), ("A:B", "relaxed")]);
    let injection = inject(manifests(WEB), &env, &by(InjectMode::Env), None);
    assert_eq!(injection.objects.len(), 1);
    insta::assert_snapshot!(pretty(&template(&injection)["spec"]["containers"]), @r#"
    [
      {
        "name": "web",
        "image": "b",
        "env": [
          {
            "name": "PORT",
            "value": "80"
          },
          {
            "name": "A:B",
            "value": "relaxed"
          },
          {
            "name": "NAME",
            "value": "$$(PORT)$$x"
          }
        ]
      },
      {
        "name": "side",
        "image": "c",
        "envFrom": [
          {
            "configMapRef": {
              "name": "own"
            }
          }
        ],
        "env": [
          {
            "name": "A:B",
            "value": "relaxed"
          },
          {
            "name": "NAME",
            "value": "$$(PORT)$$x"
          },
          {
            "name": "PORT",
            "value": "81"
          }
        ]
      }
    ]
    "#);
    assert!(template(&injection)["metadata"]["annotations"].get(HASH_ANNOTATION).is_none());
}

#[test]
fn mode_off_and_no_deployment_change_nothing() {
    let env = variables(&[("A", "1")]);
    assert_eq!(inject(manifests(WEB), &env, &by(InjectMode::Off), Some("x")).objects, manifests(WEB));
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
    let injection = inject(manifests(service), &env, &by(InjectMode::Secret), Some("x"));
    assert_eq!(injection.objects, manifests(service));
    assert_eq!(injection.hash, "");
}

#[test]
fn each_namespace_with_a_deployment_gets_one_secret() {
    let deployment = |name: &str, namespace: &str| {
        format!("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}{namespace}}}\n")
    };
    let text = [
        deployment("a", ""),
        deployment("b", ", namespace: default"),
        deployment("c", ", namespace: shop"),
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: other}\n".to_owned(),
    ]
    .concat();
    let injection = inject(manifests(&text), &variables(&[("A", "1")]), &by(InjectMode::Secret), None);
    let secrets: Vec<String> =
        injection.objects.iter().filter(|object| object.kind() == "Secret").map(ToString::to_string).collect();
    assert_eq!(secrets, ["secret default/web-env", "secret shop/web-env"]);
}

#[test]
fn a_secret_of_that_name_in_the_manifests_is_completed_and_wins() {
    let own = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: web-env, namespace: shop}\nstringData: {A: own}\n";
    let env = variables(&[("A", "1"), ("B", "2")]);
    let injection = inject(manifests(&format!("{own}---\n{WEB}")), &env, &by(InjectMode::Secret), None);
    let secrets: Vec<&ManifestObject> = injection.objects.iter().filter(|object| object.kind() == "Secret").collect();
    assert_eq!(secrets.len(), 1);
    assert_eq!(secrets[0].value()["data"], json!({"B": "Mg=="}));
    assert_eq!(secrets[0].value()["stringData"], json!({"A": "own"}));
}

#[test]
fn variables_that_kubernetes_refuses_are_left_out_and_reported() {
    let long = "x".repeat(254);
    let env = variables(&[
        ("GOOD-name.1", "1"),
        ("", "1"),
        ("A B", "1"),
        ("A:B", "1"),
        ("ÄRGER", "1"),
        ("A=B", "1"),
        ("..", "1"),
        (".", "1"),
        (&long, "1"),
        ("NUL", "a\0b"),
        ("A B", "again"),
    ]);
    let told = |mode| {
        let injection = inject(manifests(WEB), &env, &by(mode), None);
        injection
            .refused
            .iter()
            .map(|variable| format!("{}: {}\n", &variable.name[..variable.name.len().min(12)], variable.reason))
            .collect::<String>()
    };
    insta::assert_snapshot!(told(InjectMode::Secret), @r#"
    : the name is empty
    A B: the name has ' ': the key of a Secret has only letters, digits, `-`, `_` and `.`
    A:B: the name has ':': the key of a Secret has only letters, digits, `-`, `_` and `.`
    ÄRGER: the name has 'Ä': only printable ASCII other than `=` is allowed
    A=B: the name has '=': only printable ASCII other than `=` is allowed
    ..: the key of a Secret cannot be `.` or begin with `..`
    .: the key of a Secret cannot be `.` or begin with `..`
    xxxxxxxxxxxx: the key of a Secret has at most 253 characters
    NUL: the value has a NUL character
    "#);
    insta::assert_snapshot!(told(InjectMode::Env), @r#"
    : the name is empty
    ÄRGER: the name has 'Ä': only printable ASCII other than `=` is allowed
    A=B: the name has '=': only printable ASCII other than `=` is allowed
    NUL: the value has a NUL character
    "#);
}

#[test]
fn the_hash_changes_with_a_value_a_name_or_the_kubeconfig_and_with_nothing_else() {
    let hash = |pairs: &[(&str, &str)], primary| {
        inject(manifests(WEB), &variables(pairs), &by(InjectMode::Secret), primary).hash
    };
    let base = hash(&[("A", "1"), ("B", "2")], Some("k"));
    assert_eq!(base, hash(&[("B", "2"), ("A", "1")], Some("k")), "order");
    assert_eq!(base, hash(&[("A", "0"), ("B", "2"), ("A", "1")], Some("k")), "overwritten line");
    assert_eq!(base, hash(&[("A", "1"), ("B", "2"), ("KUBECONFIG", "x"), ("b d", "x")], Some("k")), "left out");
    for other in [
        hash(&[("A", "1"), ("B", "3")], Some("k")),
        hash(&[("A", "1"), ("C", "2")], Some("k")),
        hash(&[("A", "1")], Some("k")),
        hash(&[("A", "1"), ("B", "2")], Some("l")),
        hash(&[("A", "1"), ("B", "2")], None),
    ] {
        assert_ne!(base, other);
    }
}

proptest! {
    #[test]
    fn injecting_twice_is_injecting_once(
        pairs in prop::collection::vec(("[A-Z]{1,3}", "\\PC{0,8}"), 0..6),
        secret in any::<bool>(),
    ) {
        let mode = if secret { InjectMode::Secret } else { InjectMode::Env };
        let once = inject(manifests(WEB), &pairs, &by(mode), Some("k"));
        let twice = inject(once.objects.clone(), &pairs, &by(mode), Some("k"));
        prop_assert_eq!(&twice.objects, &once.objects);
        prop_assert_eq!(twice.hash, once.hash);
    }
}
