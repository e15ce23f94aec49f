// A device with memory of its own, computed by the CPU: see stand_in.py.
//
// An operation on tensors of two devices is an error, as on a card (a number, a tensor of no dimensions, may lie
// anywhere, and so may an index). New memory holds no zeros, so that what is read before it is written shows.

#include <cstdlib>
#include <cstring>

#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/view_native.h>
#include <torch/extension.h>

namespace {

constexpr auto kHere = c10::DeviceType::PrivateUse1;
using Sizes = c10::IntArrayRef;
using Symbolic = c10::SymIntArrayRef;
using Type = std::optional<at::ScalarType>;
using Layout = std::optional<at::Layout>;
using Device = std::optional<at::Device>;
using Flag = std::optional<bool>;

struct Memory final : at::Allocator {
  at::DataPtr allocate(size_t bytes) override {
    size_t rounded = (bytes + 63) / 64 * 64;
    void* start = bytes ? std::aligned_alloc(64, rounded) : nullptr;
    if (start) std::memset(start, 0x7f, rounded);
    return {start, start, &std::free, at::Device(kHere, 0)};
  }
  at::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;
REGISTER_ALLOCATOR(kHere, &memory);

at::ScalarType type_of(Type type) { return type.value_or(at::get_default_dtype_as_scalartype()); }

at::Tensor empty(Sizes sizes, Type type, Layout, Device, Flag, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(
      sizes, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), type_of(type), format);
}

at::Tensor empty_strided(Sizes sizes, Sizes strides, Type type, Layout, Device, Flag) {
  return at::detail::empty_strided_generic(
      sizes, strides, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), type_of(type));
}

// The same memory as a tensor of the CPU.
at::Tensor on_host(const at::Tensor& tensor) {
  if (tensor.device().type() != kHere) return tensor;
  auto entries = static_cast<int64_t>(tensor.storage().nbytes() / tensor.element_size());
  auto all = at::from_blob(tensor.storage().mutable_data(), {entries}, tensor.options().device(at::kCPU));
  return at::as_strided(all, tensor.sizes(), tensor.strides(), tensor.storage_offset());
}

at::Tensor here(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.to(at::Device(kHere, 0)) : tensor;
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  at::AutoDispatchBelowADInplaceOrView guard;
  on_host(to).copy_(on_host(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  at::native::resize_(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

at::Scalar number(const at::Tensor& tensor) { return on_host(tensor.clone()).item(); }

at::Tensor as_strided(const at::Tensor& tensor, Sizes sizes, Sizes strides, std::optional<int64_t> offset) {
  return at::cpu::as_strided(tensor, sizes, strides, offset);
}

void check(const at::Tensor& one, const at::Tensor& other) {
  TORCH_CHECK(!other.defined() || one.device() == other.device(), "tensors of two devices in a convolution");
}

at::Tensor convolution(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, Symbolic stride,
    Symbolic padding, Symbolic dilation, bool transposed, Symbolic output_padding, c10::SymInt groups) {
  auto added = bias.value_or(at::Tensor());
  check(x, weight);
  check(x, added);
  return here(at::convolution_symint(
      on_host(x), on_host(weight), added.defined() ? std::optional(on_host(added)) : std::nullopt, stride, padding,
      dilation, transposed, output_padding, groups));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& g, const at::Tensor& x, const at::Tensor& weight, Symbolic stride, Symbolic padding,
    Symbolic dilation, bool transposed, Symbolic output_padding, c10::SymInt groups, std::array<bool, 3> wanted) {
  check(g, x);
  check(g, weight);
  std::vector<c10::SymInt> biases = {transposed ? weight.size(1) * groups : c10::SymInt(weight.size(0))};
  auto [of_x, of_weight, of_bias] = at::convolution_backward_symint(
      on_host(g).contiguous(), on_host(x), on_host(weight), Symbolic(biases), stride, padding, dilation, transposed,
      output_padding, groups, wanted);
  return {here(of_x), here(of_weight), here(of_bias)};
}

void anything_else(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  bool is_here = false, is_host = false;
  auto see = [&](const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    if (tensor.device().type() == kHere) is_here = true;
    else if (tensor.dim() > 0) is_host = true;
  };
  for (const auto& value : torch::jit::last(*stack, operation.schema().arguments().size())) {
    if (value.isTensor()) see(value.toTensor());
    else if (value.isTensorList()) for (const auto& tensor : value.toTensorVector()) see(tensor);
  }
  TORCH_CHECK(!(is_here && is_host), "tensors of two devices in ", operation.schema().name());
  at::native::cpu_fallback(operation, stack);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", as_strided);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("resize_", at::native::resize_);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", number);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&anything_else>()); }

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("on_host", on_host); }
