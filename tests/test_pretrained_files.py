"""Reading and fetching checkpoint files: what is refused, and what the messages say."""

from __future__ import annotations

import builtins
import hashlib
import http.server
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matnet_jax.pretrained import CheckpointFileError, load_state_dict, read_weights
from matnet_jax.pretrained.fetch import fetch

safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors (the extra torch)")


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs PyTorch (the extra torch)")


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    safetensors.save_file({"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}, path)
    return path


def test_safetensors_need_no_torch(weights_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _forbid_torch(monkeypatch)
    np.testing.assert_array_equal(
        load_state_dict(weights_file)["a.weight"], np.arange(6).reshape(2, 3)
    )


def _forbid_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: Any, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)


def test_pickle_is_not_executed_where_torch_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forbid_torch(monkeypatch)
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(_Payload(tmp_path / "executed"), protocol=2))
    with pytest.raises(CheckpointFileError, match=r"needs torch.*safetensors"):
        load_state_dict(path)
    assert not (tmp_path / "executed").exists()


class _Payload:
    """Makes a file when it is unpickled by code that executes pickles."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_with_code_is_refused(tmp_path: Path, torch: Any, zipped: Any) -> None:
    path = tmp_path / "weights.pth"
    content = {"state_dict": {"w": torch.ones(2)}, "extra": _Payload(tmp_path / "executed")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointFileError, match=r"refused.*state dict alone"):
        load_state_dict(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_of_both_formats(tmp_path: Path, torch: Any, zipped: Any) -> None:
    """With numbers of NumPy in the logs, as training scripts leave them, and half precision."""
    path = tmp_path / "weights.pth"
    state = {"w": torch.arange(6.0).reshape(2, 3).T, "h": torch.ones(3, dtype=torch.bfloat16)}
    logs = {"acc": np.float64(0.5), "loss": np.float32(1.5), "step": np.int64(3), "note": "x"}
    torch.save({"logs": logs, "state_dict": state}, path, _use_new_zipfile_serialization=zipped)
    loaded = load_state_dict(path)["state_dict"]
    np.testing.assert_array_equal(loaded["w"], np.arange(6.0).reshape(2, 3).T)
    np.testing.assert_array_equal(loaded["h"], np.ones(3, np.float32))


def test_truncated_files_are_reported(tmp_path: Path, weights_file: Any, torch: Any) -> None:
    h5py = pytest.importorskip("h5py")
    torch.save({"w": torch.zeros(1000)}, tmp_path / "new.pth")
    torch.save({"w": torch.zeros(1000)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file["x"] = np.zeros(1000)
    for path in (tmp_path / "new.pth", tmp_path / "old.pth", tmp_path / "keras.h5", weights_file):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointFileError, match=r"damaged or incomplete.*fetch it again"):
            read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not found</html>", "no checkpoint.*begins with b'<html>"),
        (b"version https://git-lfs", "no checkpoint"),
        (b"", "no checkpoint"),
    ],
)
def test_other_files_are_no_checkpoints(tmp_path: Path, content: Any, message: Any) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointFileError, match=message):
        read_weights(path)


def test_files_of_another_kind_are_not_called_damaged(tmp_path: Path, torch: Any) -> None:
    program = torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2))
    torch.jit.save(program, tmp_path / "program.pt")
    np.savez(tmp_path / "arrays.npz", w=np.ones(2))
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    for name, message in (
        ("program.pt", r"is a TorchScript program.*torch\.jit\.load"),
        ("arrays.npz", r"neither PyTorch's nor Keras's: it holds w\.npy"),
        ("list.pth", "holds a list; wanted a dict of tensors"),
    ):
        with pytest.raises(CheckpointFileError, match=message):
            load_state_dict(tmp_path / name)
    torch.save({"w": torch.eye(2).to_sparse()}, tmp_path / "sparse.pth")
    np.testing.assert_array_equal(load_state_dict(tmp_path / "sparse.pth")["w"], np.eye(2))


def test_unknown_networks_are_named(weights_file: Any, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointFileError,
        match=r"a.weight; known: this library's variables,.* the authors' MAT, eff",
    ):
        read_weights(weights_file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointFileError, match="holds no checkpoint of this library"):
        read_weights(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="neither a file nor a folder"):
        read_weights(tmp_path / "absent.pth")


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves `content`; /short promises more than it sends."""

    content = b"weights" * 1000
    requests: list[str] = []

    def do_GET(self) -> Any:
        self.requests.append(self.path)
        if self.path == "/absent":
            return self.send_error(404)
        body = self.content[:-100] if self.path == "/short" else self.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    _Server.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


SHA256 = hashlib.sha256(_Server.content).hexdigest()


def test_download_is_cached_and_checked(tmp_path: Path, server: Any) -> None:
    cache = tmp_path / "cache"
    first = fetch(f"{server}/adv-b0.pth", sha256=SHA256.upper(), cache_dir=cache)
    assert first.read_bytes() == _Server.content and first.name.endswith("-adv-b0.pth")
    assert fetch(f"{server}/adv-b0.pth", sha256=SHA256, cache_dir=cache) == first
    assert _Server.requests == ["/adv-b0.pth"]
    first.write_bytes(b"damaged")
    fetch(f"{server}/adv-b0.pth", sha256=SHA256, cache_dir=cache)
    assert first.read_bytes() == _Server.content and len(_Server.requests) == 2
    other = fetch(f"{server}/other/adv-b0.pth", cache_dir=cache)
    assert other != first
    hub = fetch(f"{server}/timm/tf_b4.ap_in1k/resolve/main/model.safetensors", cache_dir=cache)
    assert hub.name.endswith("-tf_b4.ap_in1k-model.safetensors")


def test_failed_downloads_leave_nothing(tmp_path: Path, server: Any) -> None:
    cache = tmp_path / "cache"
    wrong = "0" * 64
    with pytest.raises(CheckpointFileError, match=f"has sha256 {SHA256}, wanted {wrong}"):
        fetch(f"{server}/b0.pth", sha256=wrong, cache_dir=cache)
    with pytest.raises(CheckpointFileError, match=r"ended early|IncompleteRead"):
        fetch(f"{server}/short", cache_dir=cache)
    with pytest.raises(CheckpointFileError, match=r"cannot download.*Not Found"):
        fetch(f"{server}/absent", cache_dir=cache)
    with pytest.raises(CheckpointFileError, match="use a path or http, https, file"):
        fetch("ftp://host/b0.pth", cache_dir=cache)
    assert list(cache.iterdir()) == []


def test_local_files_and_file_urls(
    tmp_path: Path, weights_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATNET_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert fetch(weights_file, sha256=digest) == weights_file
    copy = fetch(weights_file.as_uri(), sha256=digest)
    assert copy.parent == tmp_path / "cache" and copy.read_bytes() == weights_file.read_bytes()
    with pytest.raises(CheckpointFileError, match="has sha256"):
        fetch(weights_file, sha256=SHA256)
