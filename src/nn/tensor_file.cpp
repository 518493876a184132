#include "nn/tensor_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

#include "nn/strict_json.h"

namespace anomalyd::nn {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "tensor files are little-endian and copied as they are");

constexpr std::size_t kMaxTensorName = 255;
constexpr int kMaxDepth = 4;  // {name: {"shape": [...]}}
constexpr const char* kMetadata = "__metadata__";

Error corrupt(std::string what) { return Error{ErrorCode::kCorrupt, std::move(what)}; }

struct Entry {
  std::string name;
  std::vector<std::size_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Result<Entry> parse_entry(const std::string& name, const json& value, std::uint64_t data_bytes) {
  const std::string where = "tensor \"" + name.substr(0, kMaxTensorName) + "\"";
  if (name.empty() || name.size() > kMaxTensorName) {
    return corrupt(where + ": a name of 1 to 255 bytes was expected");
  }
  if (!value.is_object()) return corrupt(where + ": expected an object");
  if (const auto key = unknown_key(value, {"dtype", "shape", "data_offsets"})) {
    return corrupt(where + ": unknown key \"" + *key + "\"");
  }
  const auto dtype = value.find("dtype");
  if (dtype == value.end() || !dtype->is_string()) return corrupt(where + ": no dtype");
  if (dtype->get<std::string>() != "F32") {
    return Error{ErrorCode::kUnsupported,
                 where + ": dtype is " + dtype->get<std::string>() + ", only F32 is known"};
  }
  const auto shape = value.find("shape");
  if (shape == value.end() || !shape->is_array() || shape->size() > kMaxTensorDimensions) {
    return corrupt(where + ".shape: expected an array of at most " +
                   std::to_string(kMaxTensorDimensions));
  }
  Entry entry;
  entry.name = name;
  // Bounded by the file's size at each step, so the product cannot overflow; a zero is bounded too.
  std::uint64_t count = 1;
  for (const json& extent : *shape) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > kMaxTensorFileBytes) {
      return corrupt(where + ".shape: expected whole numbers of at most " +
                     std::to_string(kMaxTensorFileBytes));
    }
    entry.shape.push_back(extent.get<std::size_t>());
    count *= extent.get<std::uint64_t>();
    if (count > kMaxTensorFileBytes / sizeof(float)) {
      return corrupt(where + ".shape: more values than a file may hold");
    }
  }
  const auto offsets = value.find("data_offsets");
  if (offsets == value.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
    return corrupt(where + ".data_offsets: expected two whole numbers");
  }
  entry.begin = (*offsets)[0].get<std::uint64_t>();
  entry.end = (*offsets)[1].get<std::uint64_t>();
  if (entry.begin > entry.end || entry.end > data_bytes) {
    return corrupt(where + ".data_offsets: [" + std::to_string(entry.begin) + ", " +
                   std::to_string(entry.end) + "] is outside the " + std::to_string(data_bytes) +
                   " bytes of data");
  }
  if (entry.end - entry.begin != count * sizeof(float)) {
    return corrupt(where + ": its shape needs " + std::to_string(count * sizeof(float)) +
                   " bytes, data_offsets give " + std::to_string(entry.end - entry.begin));
  }
  return entry;
}

Status parse_metadata(const json& value, TensorFile& file) {
  if (!value.is_object()) return corrupt("__metadata__: expected an object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return corrupt("__metadata__." + key + ": expected a string");
    file.metadata.emplace(key, text.get<std::string>());
  }
  return Done{};
}

Error system_error(const std::filesystem::path& path, const char* what) {
  const int code = errno;
  return Error{code == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
               path.string() + ": " + what + ": " + std::generic_category().message(code)};
}

/// Closes on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

Result<TensorFile> parse_tensor_file(std::string_view bytes) {
  if (bytes.size() > kMaxTensorFileBytes) {
    return corrupt(std::to_string(bytes.size()) + " bytes, at most " +
                   std::to_string(kMaxTensorFileBytes) + " are read");
  }
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) {
    return corrupt(std::to_string(bytes.size()) + " bytes: too short for a header's length");
  }
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  bytes.remove_prefix(sizeof header_bytes);
  if (header_bytes > kMaxTensorHeaderBytes || header_bytes > bytes.size()) {
    return corrupt("header length is " + std::to_string(header_bytes) + ", expected at most " +
                   std::to_string(std::min(kMaxTensorHeaderBytes, bytes.size())));
  }
  const std::string_view data = bytes.substr(static_cast<std::size_t>(header_bytes));
  Result<json> header =
      parse_strict(bytes.substr(0, static_cast<std::size_t>(header_bytes)), kMaxDepth);
  if (!header.ok()) return corrupt("header: " + header.error().message);
  if (!header.value().is_object()) return corrupt("header: expected an object");
  if (header.value().size() > kMaxTensors) {
    return corrupt("header: more than " + std::to_string(kMaxTensors) + " tensors");
  }

  TensorFile file;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.value().items()) {
    if (name == kMetadata) {
      if (Status status = parse_metadata(value, file); !status.ok()) return status.error();
      continue;
    }
    Result<Entry> entry = parse_entry(name, value, data.size());
    if (!entry.ok()) return entry.error();
    entries.push_back(std::move(entry).value());
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != at) {
      return corrupt("tensor \"" + entry.name + "\": begins at " + std::to_string(entry.begin) +
                     ", but the one before ends at " + std::to_string(at));
    }
    at = entry.end;
  }
  if (at != data.size()) {
    return corrupt("tensors end at " + std::to_string(at) + " of " + std::to_string(data.size()) +
                   " bytes of data");
  }
  for (Entry& entry : entries) {
    Tensor tensor;
    tensor.shape = std::move(entry.shape);
    const std::size_t size = static_cast<std::size_t>(entry.end - entry.begin);
    tensor.values.resize(size / sizeof(float));
    if (size > 0) std::memcpy(tensor.values.data(), data.data() + entry.begin, size);
    file.tensors.emplace(std::move(entry.name), std::move(tensor));
  }
  return file;
}

Result<TensorFile> read_tensor_file(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return system_error(path, "cannot open");
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return system_error(path, "cannot stat");
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kInvalidArgument, path.string() + ": not a regular file"};
  }
  if (static_cast<std::uint64_t>(status.st_size) > kMaxTensorFileBytes) {
    return corrupt(path.string() + ": " + std::to_string(status.st_size) + " bytes, at most " +
                   std::to_string(kMaxTensorFileBytes) + " are read");
  }
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t n = ::read(file.get(), bytes.data() + got, bytes.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error(path, "cannot read");
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  bytes.resize(got);
  Result<TensorFile> parsed = parse_tensor_file(bytes);
  if (!parsed.ok()) {
    return Error{parsed.error().code, path.string() + ": " + parsed.error().message};
  }
  return parsed;
}

std::string format_tensor_file(const TensorFile& file) {
  json header = json::object();
  if (!file.metadata.empty()) {
    json& metadata = header[kMetadata] = json::object();
    for (const auto& [key, text] : file.metadata) metadata[key] = text;
  }
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : file.tensors) {
    std::size_t count = 1;
    for (const std::size_t extent : tensor.shape) count *= extent;
    ANOMALYD_CHECK(count == tensor.values.size(), "tensor file: values do not fill the shape");
    const std::uint64_t end = at + count * sizeof(float);
    header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  // Text that is not UTF-8 is replaced rather than thrown on; callers check their names.
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t size = text.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  bytes += text;
  bytes.reserve(bytes.size() + static_cast<std::size_t>(at));
  for (const auto& [name, tensor] : file.tensors) {
    if (tensor.values.empty()) continue;
    const std::size_t before = bytes.size();
    bytes.resize(before + tensor.values.size() * sizeof(float));
    std::memcpy(bytes.data() + before, tensor.values.data(), tensor.values.size() * sizeof(float));
  }
  return bytes;
}

Status write_tensor_file(const std::filesystem::path& path, const TensorFile& file) {
  const std::string bytes = format_tensor_file(file);
  if (bytes.size() > kMaxTensorFileBytes) {
    return Error{ErrorCode::kExhausted, path.string() + ": " + std::to_string(bytes.size()) +
                                            " bytes, at most " +
                                            std::to_string(kMaxTensorFileBytes) + " are written"};
  }
  std::string temporary = path.string() + ".XXXXXX";
  Descriptor out(::mkostemp(temporary.data(), O_CLOEXEC));
  if (out.get() < 0) return system_error(path, "cannot create a file beside it");
  const auto give_up = [&](const char* what) {
    Error error = system_error(path, what);
    ::unlink(temporary.c_str());
    return error;
  };
  if (!write_all(out.get(), bytes)) return give_up("cannot write");
  if (::fchmod(out.get(), 0644) != 0) return give_up("cannot set its mode");
  if (::fsync(out.get()) != 0) return give_up("cannot fsync");
  if (out.close() != 0) return give_up("cannot close");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up("cannot rename");
  const std::filesystem::path folder =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const Descriptor parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.get() < 0 || ::fsync(parent.get()) != 0) return system_error(folder, "cannot fsync");
  return Done{};
}

}  // namespace anomalyd::nn
