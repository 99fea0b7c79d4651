"""The fixtures on a real cluster. They must run in a started project, as bin/test does it."""

import socket
import urllib.request
from pathlib import Path

import pytest
from kubernetes import CONFIG_MAPS, Client

WRITTEN = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "written-by-pytest"}, "data": {"key": "value"}}
earlier = []


def gone(cluster):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cluster.web_port))
    return not Path(cluster.kubeconfig).parent.exists()


def page(cluster):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(cluster.web_url, timeout=60) as response:
        return response.status


def test_the_application_answers_and_objects_can_be_written(k3s_vm):
    assert page(k3s_vm) == 200
    client = Client(k3s_vm)
    assert client.request("GET", f"{CONFIG_MAPS}/written-by-pytest")[0] == 404
    assert client.request("POST", CONFIG_MAPS, WRITTEN)[0] == 201
    assert client.request("GET", f"{CONFIG_MAPS}/written-by-pytest")[1]["data"] == {"key": "value"}
    earlier.append(k3s_vm)


def test_the_next_fork_is_pristine_and_the_previous_one_is_gone(k3s_vm):
    assert k3s_vm.name != earlier[0].name
    assert Client(k3s_vm).request("GET", f"{CONFIG_MAPS}/written-by-pytest")[0] == 404
    assert gone(earlier[0])
