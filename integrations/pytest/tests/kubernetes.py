"""A minimal Kubernetes client for the tests, with the standard library only."""

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.request

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class Client:
    """A client of a fork's API, with the administrator's certificate."""

    def __init__(self, cluster):
        # The same as the file in KUBECONFIG, as JSON.
        kubeconfig = json.loads(base64.b64decode(cluster.environment["KUBECONFIG_PRIMARY"]))
        data = kubeconfig["clusters"][0]["cluster"]
        user = kubeconfig["users"][0]["user"]
        assert data["server"] == cluster.api_url
        self._server = data["server"]
        self._context = ssl.create_default_context(cadata=base64.b64decode(data["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as file:
            for name in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(user[name]) + b"\n")
            file.flush()
            self._context.load_cert_chain(file.name)

    def request(self, method, path, body=None):
        """The status and the object of the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, {"Content-Type": "application/json"}, method=method)
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)]
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
