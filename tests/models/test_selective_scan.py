"""Every form of the selective scan agrees with the reference, stays finite and remembers little; the Mamba block around
it agrees with itself backwards, and with the public code."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from core.explain.parity import check
from core.models.layers import compiled, selective_scan
from core.models.layers.mamba import Mamba
from core.models.layers.selective_scan import (
    CHUNK,
    compiled_scan,
    kernel_scan,
    reference_scan,
    scan_path,
    torch_scan,
)

Form = Callable[..., Tensor]
FORMS = {"torch": torch_scan, "compiled": compiled_scan}
# batch, length, channels, states: a vector is 32 channels wide and a chunk 16 steps long
SIZES = [(2, 37, 50, 16), (1, 1, 1, 1), (1, 16, 32, 1), (3, 17, 33, 5), (2, 5, 31, 3), (5, 64, 64, 2)]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    if request.param == "compiled" and scan_path().name != "compiled loop":
        pytest.skip(scan_path().reason)
    return FORMS[request.param]


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What was found out about this machine is found out anew, before and after."""
    found = (selective_scan._chosen, selective_scan._library)
    for cached in found:
        cached.cache_clear()
    yield
    for cached in found:
        cached.cache_clear()


def leaves(size: tuple[int, int, int, int], dtype: torch.dtype = torch.float64, skip: bool = True) -> list[Tensor]:
    """x, delta, A, B, C and, with ``skip``, D and gate."""
    B, L, E, N = size
    torch.manual_seed(L * E + N)
    values = [torch.randn(B, L, E), torch.rand(B, L, E), -4 * torch.rand(E, N), torch.randn(B, L, N)]
    values += [torch.randn(B, L, N), *([torch.randn(E), torch.randn(B, L, E)] if skip else [])]
    return [value.to(dtype).requires_grad_() for value in values]


def results(form: Form, inputs: list[Tensor], reverse: bool = False) -> list[Tensor]:
    """The output, and the gradient of every input for a loss that weighs every output differently."""
    y = form(*inputs, reverse=reverse)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype, device=y.device).view_as(y)
    return [y.detach(), *torch.autograd.grad((weight * y).sum(), inputs)]


def assert_agree(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_agrees_with_the_reference_gradients_too(form, size, skip, reverse, dtype, tolerance):
    inputs = leaves(size, skip=skip)
    expected = results(reference_scan, inputs, reverse)
    given = [value.detach().to(dtype).requires_grad_() for value in inputs]
    assert_agree([found.double() for found in results(form, given, reverse)], expected, tolerance)


@pytest.mark.parametrize("missing", ["D", "gate"])
def test_the_skip_and_the_gate_each_stand_alone(form, missing):
    *first, D, gate = leaves((2, 19, 7, 3))
    last = {"D": {"gate_BLE": gate}, "gate": {"D_E": D}}[missing]
    kept = [*first, *last.values()]

    def run(which: Form) -> list[Tensor]:
        return results(lambda *values, reverse: which(*values[:5], **dict.fromkeys(last, values[5])), kept)

    assert_agree(run(form), run(reference_scan), 1e-9)


def test_reverse_is_the_scan_of_the_flipped_sequence(form):
    x, delta, A, B, C, D, gate = leaves((2, 37, 10, 4))
    flipped = form(*(v.flip(1) for v in (x, delta)), A, B.flip(1), C.flip(1), D, gate.flip(1)).flip(1)
    torch.testing.assert_close(form(x, delta, A, B, C, D, gate, reverse=True), flipped, rtol=1e-12, atol=1e-12)


def test_slices_of_wider_rows_are_read_as_they_are(form):
    """As in the block: x and gate are halves of one tensor, B and C parts of another, x may be transposed."""
    x, delta, A, B, C, D, gate = leaves((2, 21, 12, 3))
    both, rows = torch.cat([x, gate], -1), torch.cat([x[..., :2], B, C], -1)
    parts = both.chunk(2, -1)[0], delta, A, *rows.split([2, 3, 3], -1)[1:], D, both.chunk(2, -1)[1]
    torch.testing.assert_close(form(*parts), reference_scan(x, delta, A, B, C, D, gate), rtol=1e-9, atol=1e-9)
    turned = x.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(form(turned, delta, A, B, C), reference_scan(x, delta, A, B, C), rtol=1e-9, atol=1e-9)
    one = x[:1].expand(2, -1, -1)
    torch.testing.assert_close(form(one, delta, A, B, C), reference_scan(one, delta, A, B, C), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_long_sequence_and_a_large_delta_stay_finite(form, reverse):
    x, delta, A, B, C, D, gate = leaves((1, 4096, 8, 4), torch.float32)
    delta = (delta.detach() * 1e3).requires_grad_()
    A = (A.detach() * 10).requires_grad_()
    assert all(found.isfinite().all() for found in results(form, [x, delta, A, B, C, D, gate], reverse))
    # nothing is forgotten for 4096 steps: the state is the sum of what came in
    still = torch.zeros_like(A)
    y = form(x, torch.ones_like(x), still, torch.ones_like(B), torch.ones_like(C), reverse=reverse)
    summed = (x.flip(1) if reverse else x).double().cumsum(1) * A.shape[1]
    torch.testing.assert_close((y.flip(1) if reverse else y).double(), summed, rtol=1e-4, atol=1e-3)


def test_what_is_no_number_stays_none(form):
    inputs = leaves((1, 9, 4, 2), torch.float32)
    with torch.no_grad():
        inputs[0][0, 4, 1] = torch.nan
        inputs[1][0, 6, 2] = torch.nan
    y = form(*inputs)
    assert y[0, 4:, 1].isnan().all()
    assert y[0, 6:, 2].isnan().all()
    assert y[0, :, [0, 3]].isfinite().all()


def saved(form: Form, length: int) -> int:
    """Bytes kept for the backward pass beyond the inputs."""
    inputs = leaves((1, length, 64, 16), torch.float32)
    own, kept = {value.data_ptr() for value in inputs}, {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = form(*inputs)
    assert y.grad_fn is not None
    return sum(kept.values())


def test_memory_grows_with_the_length_and_is_a_fraction_of_all_states(form):
    short, long = saved(form, 1024), saved(form, 4096)
    assert long <= 4.1 * short
    every_state = 4096 * 64 * 16 * 4
    assert saved(form, 4096) <= (1 / CHUNK + 4 / 16) * every_state  # kept states, and four tensors the size of x
    assert saved(reference_scan, 1024) > 2 * every_state / 4


def test_runs_without_gradients(form):
    inputs = leaves((2, 20, 6, 2), torch.float32)
    expected = form(*inputs).detach()
    with torch.no_grad():
        assert form(*inputs).equal(expected)
    with torch.inference_mode():
        assert form(*inputs).equal(expected)
        assert form(*(value.clone() for value in inputs)).equal(expected)


def test_is_linear_in_x_where_the_factors_are_frozen(form):
    """What a reading of the block needs: delta, B and C held, the gradient of x alone."""
    x, *rest = leaves((1, 12, 4, 3), skip=False)
    frozen = [value.detach() for value in rest]
    twice = form(2 * x, *frozen)
    torch.testing.assert_close(twice, 2 * form(x, *frozen), rtol=1e-12, atol=1e-12)
    (grad,) = torch.autograd.grad(twice.sum(), x)
    torch.testing.assert_close((grad * x).sum(), twice.sum(), rtol=1e-10, atol=1e-10)


def test_a_second_derivative_is_refused(form):
    inputs = leaves((1, 6, 4, 2))
    (grad,) = torch.autograd.grad(form(*inputs).square().sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_share_the_batch(threads):
    if scan_path().name != "compiled loop":
        pytest.skip(scan_path().reason)
    inputs, before = leaves((3, 18, 34, 3)), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert_agree(results(compiled_scan, inputs), results(reference_scan, inputs), 1e-9)
    finally:
        torch.set_num_threads(before)


def test_low_precision_is_computed_in_float32():
    inputs = [value.detach() for value in leaves((2, 40, 8, 4), torch.float32)]
    low = [value.bfloat16() for value in inputs]
    y = selective_scan.selective_scan(*low)
    assert y.dtype == torch.bfloat16
    expected = reference_scan(*(value.float() for value in low))
    torch.testing.assert_close(y.float(), expected, rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", torch.bfloat16):
        again = selective_scan.selective_scan(*inputs)
    torch.testing.assert_close(again, reference_scan(*inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("false", "false failed"),
        ("no-such-compiler", "no C++ compiler was found"),
        ("true", "compiled loop cannot be had"),
    ],
)
def test_without_a_compiler_the_torch_form_runs_and_says_why(monkeypatch, tmp_path, forgotten, compiler, said):
    """``true`` is a compiler that succeeds and makes nothing."""
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name, reason = scan_path()
    assert name == "torch"
    assert said in reason
    inputs = leaves((2, 9, 5, 2))
    assert_agree(results(selective_scan.selective_scan, inputs), results(reference_scan, inputs), 1e-9)


def test_a_folder_that_cannot_be_written_means_the_torch_form(monkeypatch, tmp_path, forgotten):
    (tmp_path / "scalescope").write_text("a file where the cache folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert scan_path().name == "torch"


def test_a_library_of_another_kind_is_told_by_its_numbers(monkeypatch, forgotten):
    monkeypatch.setattr(selective_scan, "compiled_scan", lambda *given, **_: torch_scan(*given) * 1.01)
    assert scan_path() == ("torch", "compiled loop cannot be had: its numbers differ from the reference's")


def test_a_changed_source_is_built_anew_and_kept(monkeypatch, tmp_path):
    if scan_path().name != "compiled loop":
        pytest.skip(scan_path().reason)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "answer.cpp"

    def answer(number: int) -> int:
        source.write_text(f'extern "C" int answer() {{ return {number}; }}')
        return compiled.load(source).answer()

    assert [answer(1), answer(2), answer(1)] == [1, 2, 1]
    assert len(list(tmp_path.rglob("*.so"))) == 2
    monkeypatch.setattr(compiled, "build", lambda *_: pytest.fail("it was built already"))
    assert answer(2) == 2


# The block


def test_the_block_is_the_public_one_gradients_too(shared):
    report = check(shared / "parity" / "mamba_block_a.safetensors")
    assert report["passed"], report
    assert report["grad_max_abs_error"] <= 1e-9


def test_a_wrong_gradient_fails_parity_and_is_named(shared, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(shared / "parity" / "mamba_block_a.safetensors", "pt") as file:
        about, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors["grads/x_proj.weight"][0, 0] += 1e-8
    save_file(tensors, tmp_path / "changed.safetensors", about)
    report = check(tmp_path / "changed.safetensors")
    assert not report["passed"]
    assert report["worst_grad"] == "x_proj.weight"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("length", "conv"), [(1, 4), (2, 4), (23, 4), (9, 1)])
def test_the_block_reads_backwards_as_on_a_flipped_sequence(dtype, length, conv):
    torch.manual_seed(0)
    block, x = Mamba(12, state=5, conv=conv).to(dtype), torch.randn(2, length, 12, dtype=dtype, requires_grad=True)
    ways = [lambda: block(x, reverse=True), lambda: block(x.flip(1)).flip(1)]
    found = [
        (y.detach(), *torch.autograd.grad(y.square().sum(), [x, *block.parameters()])) for y in (w() for w in ways)
    ]
    assert_agree(list(found[0]), list(found[1]), 1e-10 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_block_sees_no_token_that_comes_later(reverse):
    torch.manual_seed(0)
    block, x = Mamba(8), torch.randn(1, 20, 8)
    changed = x.clone()
    changed[:, 11] += 1
    moved = (block(changed, reverse) - block(x, reverse)).abs().sum((0, 2)) > 0
    assert moved.tolist() == [t <= 11 if reverse else t >= 11 for t in range(20)]


def test_the_block_starts_as_mamba_ssm_does():
    torch.manual_seed(0)
    block = Mamba(40, state=6)
    shapes = {name: tuple(value.shape) for name, value in block.named_parameters()}
    assert shapes == {
        "A_log": (80, 6),
        "D": (80,),
        "in_proj.weight": (160, 40),
        "conv1d.weight": (80, 1, 4),
        "conv1d.bias": (80,),
        "x_proj.weight": (15, 80),
        "dt_proj.weight": (80, 3),
        "dt_proj.bias": (80,),
        "out_proj.weight": (40, 80),
    }
    delta = torch.nn.functional.softplus(block.dt_proj.bias)
    assert 0.999e-3 <= delta.min() < 3e-3 and 3e-2 < delta.max() <= 0.1001
    torch.testing.assert_close(block.A_log.exp()[7], torch.arange(1.0, 7.0))
    assert block.dt_proj.weight.abs().max() <= 3**-0.5
    assert block.D.eq(1).all()


# On CUDA


@pytest.fixture
def cuda() -> str:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return "cuda"


@pytest.fixture
def kernel(cuda: str) -> Form:
    if scan_path(cuda).name != "mamba-ssm":
        pytest.skip(scan_path(cuda).reason)
    return kernel_scan


@pytest.mark.parametrize("reverse", [False, True])
def test_the_torch_form_agrees_on_cuda(cuda, reverse):
    inputs = leaves((2, 37, 50, 16))
    there = [value.detach().to(cuda).requires_grad_() for value in inputs]
    found = [value.cpu() for value in results(torch_scan, there, reverse)]
    assert_agree(found, results(reference_scan, inputs, reverse), 1e-9)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_the_kernel_agrees_with_the_torch_form(kernel, skip, reverse):
    inputs = [value.detach().cuda().requires_grad_() for value in leaves((2, 300, 64, 16), torch.float32, skip)]
    found, expected = (results(which, inputs, reverse) for which in (kernel, torch_scan))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_the_block_agrees_in_bfloat16_on_either_path(kernel, monkeypatch):
    torch.manual_seed(0)
    block, x = Mamba(64).cuda(), torch.randn(4, 200, 64, device="cuda")
    with torch.autocast("cuda", torch.bfloat16):
        ours = block(x)
        monkeypatch.setattr(selective_scan, "_chosen", lambda device, wide: (torch_scan, None))
        theirs = block(x)
    assert float((ours - theirs).abs().max()) <= 2e-3 * max(1.0, float(theirs.abs().max()))
