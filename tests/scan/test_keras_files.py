"""Keras files as models: what opens, what is refused and why, and that Keras and torch give one map."""

import json
import os
import sys
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import genoplrp as gp
from genoplrp.errors import CheckpointError, InputError
from genoplrp.relevance import DeepLift, Explainer, adapt_model
from genoplrp.relevance.calling import copied
from genoplrp.scan import describe_output, load_any_model
from genoplrp.scan.keras_files import import_keras

LENGTH = 40
CODES = torch.randint(4, (3, LENGTH), generator=torch.Generator().manual_seed(0))
X = torch.eye(4)[CODES].mT.contiguous()


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Keras takes with it the compiler of torch: only the worker that runs this module waits for them."""
    global keras
    keras = import_keras()


def _randomised(model, seed=0):
    """Weights and running statistics that differ from where they began."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.uniform(0.2, 1.5, w.shape) if "norm" in v.path and ("gamma" in v.path or "variance" in v.path)
         else rng.normal(0, 0.4, w.shape) for v, w in zip(model.weights, model.get_weights(), strict=True)]
    )  # fmt: skip
    return model


def _network(length=LENGTH, outputs=2):
    layers = keras.layers
    x = inputs = keras.Input((length, 4), name="sequence")
    x = layers.Conv1D(6, 5, padding="same", name="first")(x)
    x = layers.BatchNormalization(name="first_norm")(x)
    x = layers.Activation("relu")(x)
    y = layers.Conv1D(6, 3, padding="same", dilation_rate=2, activation="relu", name="second")(x)
    x = layers.MaxPooling1D(2)(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling1D()(x)
    return _randomised(keras.Model(inputs, layers.Dense(outputs, name="out")(x)))


class Port(nn.Module):
    """The same network in torch, with the same weights."""

    def __init__(self, model):
        super().__init__()
        self.first, self.first_norm = nn.Conv1d(4, 6, 5, padding=2), nn.BatchNorm1d(6, eps=1e-3)
        self.second = nn.Conv1d(6, 6, 3, padding=2, dilation=2)
        self.out = nn.Linear(6, 2)
        for name in ("first", "second", "out"):
            kernel, bias = model.get_layer(name).get_weights()
            layer = getattr(self, name)
            layer.weight.data = torch.from_numpy(kernel).permute(*reversed(range(kernel.ndim))).contiguous()
            layer.bias.data = torch.from_numpy(bias)
        gamma, beta, mean, variance = map(torch.from_numpy, model.get_layer("first_norm").get_weights())
        self.first_norm.load_state_dict(
            {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}, strict=False
        )
        self.eval()

    def forward(self, x):
        x = self.first_norm(self.first(x)).relu()
        return self.out(torch.max_pool1d(x + self.second(x).relu(), 2).mean(dim=2))


@pytest.fixture(scope="module")
def network():
    return _network()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_gives_the_model_that_was_saved(tmp_path, network, suffix):
    path = tmp_path / f"model{suffix}"
    network.save(path)
    model = gp.load_keras(path)
    assert isinstance(model, nn.Module)
    with torch.no_grad():
        assert torch.equal(model(X.mT), network(X.mT))
    r = gp.plrp(model, X, 1, p=0.1)
    assert r.shape == X.shape
    assert torch.equal(r, gp.plrp(network, X, 1, p=0.1))


@pytest.mark.parametrize("rules", ["gamma", "zplus-all", "epsilon"])
def test_the_same_network_in_keras_and_in_torch_has_one_map(network, rules):
    port = Port(network)
    with torch.no_grad():
        torch.testing.assert_close(port(X), network(X.mT), rtol=1e-4, atol=1e-5)
    ours, theirs = (gp.Explainer(m, rules, gp.Pruning(0.1))(X, 1).relevance for m in (network, port))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_loaded_model_knows_its_length_and_is_told_from_another(tmp_path, network):
    paths = tmp_path / "a.keras", tmp_path / "b.keras", tmp_path / "open.h5"
    for path, model in zip(paths, (network, _randomised(_network(), 1), _network(None)), strict=True):
        model.save(path)
    a, b, open_ended = map(load_any_model, paths)
    assert (a.length, open_ended.length) == (LENGTH, None)
    assert a.fingerprint == load_any_model(paths[0]).fingerprint != b.fingerprint
    assert describe_output(a.model, LENGTH) == "a tensor of shape (N, 2)"


def test_layers_have_the_names_that_keras_gives_them(network):
    e = Explainer(network)(X, 1)
    assert list(dict.fromkeys(e.layers["layer"])) == ["first", "second", "out"]
    assert e.check().holds
    kept = Explainer(network, keep_intermediate="second", rules="gamma")(X).intermediate
    assert list(kept) == ["second"]


def test_several_inputs_and_outputs(tmp_path):
    layers = keras.layers
    one, two, side = (
        keras.Input((LENGTH, 4), name="one"),
        keras.Input((LENGTH, 4), name="two"),
        keras.Input((3,), name="side"),
    )
    shared = layers.Conv1D(5, 3, activation="relu")
    h = layers.Concatenate()([layers.GlobalAveragePooling1D()(shared(t)) for t in (one, two)] + [side])
    model = keras.Model(
        [side, one, two], [layers.Dense(2, name="donor")(h), layers.Dense(1, name="acceptor")(h)]
    )
    _randomised(model)
    other, numbers = X.flip(2), torch.randn(3, 3)
    r = gp.lrp(model, X, target=lambda y: y[0][:, 1], args=[numbers, other])
    assert r.shape == X.shape
    with torch.no_grad():
        expected = model([numbers, X.mT, other.mT])[0][:, 1]
    e = Explainer(model)(X, target=lambda y: y[0][:, 1], args=[numbers, other])
    torch.testing.assert_close(e.prediction, expected)
    with pytest.raises(InputError, match=r"takes 3 inputs \(side .*one .*two .*got 1"):
        gp.lrp(model, X, target=lambda y: y[0][:, 1])
    path = tmp_path / "several.keras"
    model.save(path)
    with pytest.raises(InputError, match=r"takes 3 inputs .*explain it in Python"):
        load_any_model(path)
    single = keras.Model(one, [layers.Dense(2, name=n)(layers.Flatten()(one)) for n in ("donor", "acceptor")])
    single.save(path)
    loaded = load_any_model(path)
    assert loaded.outputs == ("donor", "acceptor")
    assert (
        describe_output(loaded.model, LENGTH)
        == "2 outputs: a tensor of shape (N, 2), a tensor of shape (N, 2)"
    )


def test_custom_layers_are_handed_in_by_name_or_from_a_file(tmp_path):
    class Halved(keras.layers.Layer):
        def call(self, x):
            return x * 0.5

    inputs = keras.Input((LENGTH, 4))
    model = keras.Model(inputs, keras.layers.Dense(1)(Halved()(keras.layers.Flatten()(inputs))))
    module = tmp_path / "lab_layers.py"
    module.write_text(
        "import keras\n\nclass Halved(keras.layers.Layer):\n    def call(self, x):\n        return x * 0.5\n"
    )
    for name in ("m.keras", "m.h5"):
        path = tmp_path / name
        model.save(path)
        with pytest.raises(InputError, match=r"needs Halved.*--keras-objects module.py \(objects=\{'Halved'"):
            gp.load_keras(path)
        for objects in ({"Halved": Halved}, module):
            assert gp.lrp(gp.load_keras(path, objects), X).shape == X.shape
        assert load_any_model(path, keras_objects=str(module)).length == LENGTH
    with pytest.raises(InputError, match="there is no file"):
        gp.load_keras(path, tmp_path / "none.py")


def test_a_model_with_layers_of_its_own_is_copied_to_another_device():
    class Halved(keras.layers.Layer):
        def call(self, x):
            return x * 0.5

    class Whole(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = keras.layers.Dense(units)

        def call(self, x):
            return self.dense(keras.ops.mean(x, axis=1))

    def doubled(x):
        return x * 2

    inputs = keras.Input((LENGTH, 4))
    h = keras.layers.Flatten()(keras.layers.Conv1D(3, 5, activation=doubled)(inputs))
    model = adapt_model(_randomised(keras.Model(inputs, keras.layers.Dense(1)(Halved()(h)))))
    twin = copied(model)
    assert torch.equal(twin(X), model(X))
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert own.data_ptr() != other.data_ptr()

    class Silent(Whole):
        def get_config(self):
            raise NotImplementedError

    for kind in (Whole, Silent):
        whole = kind(1)
        whole(X.mT)
        with pytest.raises(InputError, match=f"Keras cannot copy {kind.__name__} .*get_config.*omit device"):
            copied(whole)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_runs_only_when_it_is_trusted_or_is_replaced(tmp_path, suffix):
    inputs = keras.Input((LENGTH, 4))
    h = keras.layers.Lambda(lambda t: t * 3.0, name="tripled", output_shape=(LENGTH * 4,))(
        keras.layers.Flatten()(inputs)
    )
    model = _randomised(keras.Model(inputs, keras.layers.Dense(1)(h)))
    path = tmp_path / f"model{suffix}"
    model.save(path)
    with pytest.raises(
        InputError, match=r"Lambda: 'tripled'.*can do anything.*--trust-pickle.*objects=\{name"
    ):
        gp.load_keras(path)
    with pytest.raises(InputError, match="Lambda"):
        load_any_model(path)
    with torch.no_grad():
        expected = model(X.mT)
        assert torch.equal(gp.load_keras(path, trust_lambda=True)(X.mT), expected)
        replaced = gp.load_keras(path, {"tripled": lambda t: t + t + t})
        torch.testing.assert_close(replaced(X.mT), expected)
    assert gp.lrp(replaced, X).shape == X.shape


def test_code_hidden_elsewhere_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "model.keras"
    _network().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][3]["config"]["activation"] = {
        "class_name": "__lambda__",
        "config": {"value": "4wEA"},
    }
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="can do anything"):
        gp.load_keras(path)


def test_what_is_no_keras_model_is_named(tmp_path, network):
    with pytest.raises(InputError, match="there is no file"):
        gp.load_keras(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InputError, match="no Keras model: neither an HDF5 file"):
        gp.load_keras(text)
    network.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(InputError, match="holds weights alone"):
        gp.load_keras(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["attributions"] = np.zeros(3)
    with pytest.raises(InputError, match="no Keras model: it holds attributions"):
        gp.load_keras(tmp_path / "other.h5")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(InputError, match=r"no Keras model: it holds a\.txt"):
        gp.load_keras(tmp_path / "other.keras")
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    with pytest.raises(InputError, match="TensorFlow SavedModel"):
        load_any_model(folder)
    broken = tmp_path / "broken.h5"
    network.save(broken)
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.raises(CheckpointError, match="HDF5"):
        gp.load_keras(broken)


def test_options_that_do_not_belong_to_it_are_errors(tmp_path, network):
    path = tmp_path / "m.keras"
    network.save(path)
    with pytest.raises(InputError, match="omit --state-dict"):
        load_any_model(path, state_dict="w.pt")
    with pytest.raises(InputError, match="is for Keras files"):
        load_any_model("torch.nn:Flatten", keras_objects="layers.py")


def test_functions_of_tensorflow_as_layers_are_named(tmp_path, network):
    path = tmp_path / "m.h5"
    network.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layer = config["config"]["layers"][3]
        layer["class_name"], layer["config"] = "TFOpLambda", {"name": "tf.math.add", "function": "math.add"}
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(InputError, match=r"tf\.math\.add \(math\.add\).*keras\.ops"):
        gp.load_keras(path)


@pytest.mark.parametrize("own", [None, "jax"])
def test_the_environment_is_as_it_was_and_a_users_own_setting_is_only_set_aside(monkeypatch, tmp_path, own):
    # A Keras that notes what it is imported with; that the real one obeys is seen where this module imports it.
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "__init__.py").write_text(
        "import os\nfrom types import SimpleNamespace\n__version__ = '3.6.0'\n"
        "chosen = os.environ['KERAS_BACKEND']\nbackend = SimpleNamespace(backend=lambda: chosen)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "keras")
    if own is None:
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
    else:
        monkeypatch.setenv("KERAS_BACKEND", own)
    imported = import_keras()
    monkeypatch.delitem(sys.modules, "keras")
    assert imported is not keras
    assert imported.chosen == "torch"
    assert os.environ.get("KERAS_BACKEND") == own


@pytest.mark.parametrize(
    ("version", "backend", "message"),
    [
        ("3.6.0", "jax", "imported already, with the backend 'jax'.*start a new Python"),
        ("2.15.0", "tensorflow", r"Keras 2\.15\.0 is installed"),
    ],
)
def test_a_keras_that_torch_cannot_see_into_is_refused(monkeypatch, version, backend, message):
    imported = SimpleNamespace(__version__=version, backend=SimpleNamespace(backend=lambda: backend))
    monkeypatch.setitem(sys.modules, "keras", imported)
    with pytest.raises(InputError, match=message):
        import_keras()


def test_a_missing_keras_says_how_to_get_it(monkeypatch, tmp_path, network):
    network.save(tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(InputError, match=r"pip install 'genoplrp\[keras\]'"):
        gp.load_keras(tmp_path / "m.keras")


def test_deeplift_of_a_keras_model_adds_up(network):
    assert DeepLift(network)(X, 1).check().holds


def test_the_command_line_explains_a_file_from_fasta_to_store(tmp_path, network, capsys):
    from genoplrp.cli.main import main
    from genoplrp.scan import ScanStore

    network.save(tmp_path / "model.keras")
    letters = "".join("ACGT"[code] for code in CODES[0].tolist())
    (tmp_path / "one.fa").write_text(f">one\n{letters}\n")
    arguments = [
        "explain",
        tmp_path / "model.keras",
        "--fasta",
        tmp_path / "one.fa",
        "--target",
        "1-0",
        "--p",
        "0",
    ]
    with pytest.raises(SystemExit, match="0"):
        main([*map(str, arguments), "--out", str(tmp_path / "store")])
    store = ScanStore(tmp_path / "store")
    expected = gp.lrp(network, X[:1], lambda y: y[:, 1] - y[:, 0])
    np.testing.assert_allclose(store.relevance(slice(None)), expected.numpy(), rtol=1e-4, atol=1e-6)
    with pytest.raises(SystemExit, match="2"):
        main([*map(str, arguments[:5]), "9", "--out", str(tmp_path / "other")])
    assert "9 is out of range: the output has shape (N, 2)" in capsys.readouterr().err
    assert not list(tmp_path.glob("other*"))
