#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace anomalyd::nn {

/// A row-major array of float32. No dimension: one value.
struct Tensor {
  std::vector<std::size_t> shape;
  std::vector<float> values;
};

/// Tensors by name and text by key, as a `.safetensors` file holds them.
struct TensorFile {
  std::map<std::string, Tensor, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

inline constexpr std::size_t kMaxTensorFileBytes = std::size_t{1} << 28U;
inline constexpr std::size_t kMaxTensorHeaderBytes = std::size_t{1} << 20U;
inline constexpr std::size_t kMaxTensors = 4096;
inline constexpr std::size_t kMaxTensorDimensions = 8;

/// Reads what format_tensor_file() writes, and what Python's `safetensors` writes of float32:
/// 8 bytes little-endian header length, a JSON header, the values without gap or overlap.
/// Errors   kCorrupt with the place; kUnsupported for another dtype than F32. Every count is
///          checked against its bound and the file's size before anything is allocated.
/// Source   the format of safetensors 0.4 and later.
Result<TensorFile> parse_tensor_file(std::string_view bytes);
/// Errors   kNotFound, kUnavailable when it cannot be read, and parse_tensor_file()'s; the
///          message begins with the path.
Result<TensorFile> read_tensor_file(const std::filesystem::path& path);

/// The same file always gives the same bytes: names in order, the header padded to 8 bytes.
/// A tensor whose values do not fill its shape is a bug (ANOMALYD_CHECK).
std::string format_tensor_file(const TensorFile& file);
/// Replaces `path` in one step: a temporary file beside it, fsync, rename, fsync of the folder.
/// Errors   kUnavailable with the path and the system's reason; `path` is then as it was.
Status write_tensor_file(const std::filesystem::path& path, const TensorFile& file);

}  // namespace anomalyd::nn
