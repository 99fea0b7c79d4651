//! A saved cluster of an earlier version, with the guest's kubeconfig.

use super::*;

/// A certificate and its key, base64 of PEM, made for this test.
const CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJkVENDQVJ1Z0F3SUJBZ0lVZU9ZNEpyYnR4cEJCcDVLOTU5WjY0WW1UTVgwd0NnWUlLb1pJemowRUF3SXcKRHpFTk1Bc0dBMVVFQXd3RWRHVnpkREFnRncweU5qRXhNekF4TmpVeE16SmFHQTh5TVRJMk1URXdOakUyTlRFegpNbG93RHpFTk1Bc0dBMVVFQXd3RWRHVnpkREJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEEwSUFCSURXClN3MlE1ejN4Q3B1bTVrNlRpaXljZDlnQlliWEtDcEJncXFsZUFUTnJ0QS91RUQ1LytBN0tkVTlvbTZJVjdXelgKMjhaUWhORmFHUEQ5eUZnY082T2pVekJSTUIwR0ExVWREZ1FXQkJSL0Vac0pHRk1vbVlrMTJZSGFNdnRhZGRmQwp3REFmQmdOVkhTTUVHREFXZ0JSL0Vac0pHRk1vbVlrMTJZSGFNdnRhZGRmQ3dEQVBCZ05WSFJNQkFmOEVCVEFECkFRSC9NQW9HQ0NxR1NNNDlCQU1DQTBnQU1FVUNJR3BQR20xc2xmVHNDM3I4QzZwS1BxOFdCaHo3V1lkUzJHMzQKYXQ3dEdWak1BaUVBbEdHbzB0SUsvV3U4UHdwS3NRMW5JK0tpd3FWNy9sdmdIdGl2OHVzd1o3MD0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
const KEY: &str = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0hBZ0VBTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEJHMHdhd0lCQVFRZzgyMnE5RU1KTUJ0Zy9KRXoKN3htTDBEM2ZiVm1ldk84OVBFR2diK2ZpNk9taFJBTkNBQVNBMWtzTmtPYzk4UXFicHVaT2s0b3NuSGZZQVdHMQp5Z3FRWUtxcFhnRXphN1FQN2hBK2YvZ095blZQYUp1aUZlMXMxOXZHVUlUUldoancvY2hZSER1agotLS0tLUVORCBQUklWQVRFIEtFWS0tLS0tCg==";

#[test]
fn the_kubeconfig_in_a_saved_cluster_had_what_the_guest_had_written() {
    let hostile = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
         clusters: [{{name: a, cluster: {{server: 'https://evil', proxy-url: 'http://evil', certificate-authority-data: {CERTIFICATE}}}}}]\n\
         users: [{{name: a, user: {{client-certificate-data: {CERTIFICATE}, client-key-data: {KEY}, tokenFile: /evil, exec: {{command: evil}}}}}}]\n"
    );
    let json = |kubeconfig: &str| {
        serde_json::json!({
            "schema": SCHEMA, "image-directory": "/image", "distribution": "kubernetes v1.37.2", "node": "k3s-vm",
            "version": "v1.37.2", "kubeconfig": kubeconfig, "applied": null,
        })
        .to_string()
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cluster.json");
    std::fs::write(&file, json(&hostile)).unwrap();
    let saved = SavedCluster::read(&file).unwrap();
    saved.write(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("evil") && !text.contains("exec"), "{text}");
    assert_eq!(SavedCluster::read(&file).unwrap(), saved);
    // Without credentials there is no saved cluster: the start boots, and does not fail.
    std::fs::write(&file, json("users: [{user: {exec: {command: evil}}}]")).unwrap();
    assert_eq!(SavedCluster::read(&file).unwrap_err(), "it was made by another version of k3s-vm, or is damaged");
}
