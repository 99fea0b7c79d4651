//! The tokens of the API in memory: it issues them, and accepts them as long as the account and the Secret are those
//! that they were issued for.

use hyper::Method;
use serde_json::{Value, json};

use crate::mock_api::{State, status};

const ACCOUNT: &str = "/api/v1/namespaces/kube-system/serviceaccounts/k3s-vm-containers";
const SECRET: &str = "/api/v1/namespaces/kube-system/secrets/k3s-vm-containers";
const USER: &str = "system:serviceaccount:kube-system:k3s-vm-containers";

/// A token that was issued.
pub(crate) struct Issued {
    text: String,
    account: Value,
    secret: Value,
}

impl State {
    /// The answer to a request that is about tokens.
    pub(crate) fn of_tokens(&mut self, method: &Method, path: &str, body: &[u8]) -> Option<(u16, Value)> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let uid = |state: &State, path: &str| state.objects.get(path).map(|object| object["metadata"]["uid"].clone());
        if *method == Method::PATCH && path == SECRET {
            let object = self.objects.get_mut(path).unwrap();
            object["metadata"]["annotations"] = body["metadata"]["annotations"].clone();
            object["data"] = body["data"].clone();
            return Some((200, object.clone()));
        }
        if *method == Method::POST && path == format!("{ACCOUNT}/token") {
            let (Some(account), Some(secret)) = (uid(self, ACCOUNT), uid(self, SECRET)) else {
                return Some((404, status(404, "NotFound", "not found", json!({}))));
            };
            let bound = &body["spec"]["boundObjectRef"];
            assert_eq!((&bound["kind"], &bound["uid"]), (&json!("Secret"), &secret), "bound to something else");
            let text = format!("token-{}", self.tokens.len());
            self.tokens.push(Issued { text: text.clone(), account, secret });
            return Some((201, json!({"status": {"token": text, "expirationTimestamp": "2099-11-30T12:00:00Z"}})));
        }
        if *method == Method::POST && path == "/apis/authentication.k8s.io/v1/tokenreviews" {
            let given = body["spec"]["token"].as_str().unwrap_or_default();
            let is_good = self.tokens.iter().any(|issued| {
                issued.text == given
                    && Some(&issued.account) == uid(self, ACCOUNT).as_ref()
                    && Some(&issued.secret) == uid(self, SECRET).as_ref()
            });
            let verdict = if is_good {
                json!({"authenticated": true, "user": {"username": USER}})
            } else {
                json!({"authenticated": false, "error": "invalid bearer token"})
            };
            return Some((201, json!({"status": verdict})));
        }
        None
    }
}
