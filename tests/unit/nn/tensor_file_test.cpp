#include "nn/tensor_file.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.h"

namespace anomalyd::nn {
namespace {

std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + std::string(data_bytes, '\0');
}

std::string refusal(const std::string& bytes) {
  const auto parsed = parse_tensor_file(bytes);
  REQUIRE_FALSE(parsed.ok());
  return parsed.error().message;
}

bool holds(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

std::filesystem::path folder() {
  const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                     ("anomalyd_tensor_file_" + std::to_string(::getpid()));
  std::filesystem::create_directories(path);
  return path;
}

TEST_CASE("A tensor file goes through bytes unchanged", "[nn][tensor_file]") {
  TensorFile file;
  file.metadata["format"] = "test";
  file.tensors["b"] = {{2, 2}, {1, 2, 3, 4}};
  file.tensors["a"] = {{}, {-0.5F}};
  file.tensors["empty"] = {{0, 3}, {}};
  const std::string bytes = format_tensor_file(file);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  CHECK(header % 8 == 0);
  const auto parsed = parse_tensor_file(bytes);
  REQUIRE(parsed.ok());
  CHECK(parsed.value().metadata == file.metadata);
  CHECK(parsed.value().tensors.at("b").shape == std::vector<std::size_t>{2, 2});
  CHECK(parsed.value().tensors.at("b").values == std::vector<float>{1, 2, 3, 4});
  CHECK(parsed.value().tensors.at("a").values == std::vector<float>{-0.5F});
  CHECK(parsed.value().tensors.at("empty").values.empty());
  CHECK(format_tensor_file(parsed.value()) == bytes);
}

TEST_CASE("A file that Python's safetensors wrote is read", "[nn][tensor_file][golden]") {
  const auto file = read_tensor_file(ANOMALYD_SOURCE_DIR "/tests/golden/layers.safetensors");
  REQUIRE(file.ok());
  CHECK(file.value().metadata.at("script") == "make_golden.py");
  CHECK(file.value().tensors.size() == 48);
  CHECK(file.value().tensors.at("conv1d.k8s4p2.w").shape == std::vector<std::size_t>{8, 3, 9});
}

TEST_CASE("Broken tensor files are refused with the reason", "[nn][tensor_file][errors]") {
  CHECK(holds(refusal("1234567"), "too short"));
  CHECK(holds(refusal(std::string(8, '\xff')), "header length"));
  CHECK(holds(refusal(file_of("{}", 0).substr(0, 9)), "header length is 2"));
  CHECK(holds(refusal(file_of("nonsense", 0)), "not JSON"));
  CHECK(holds(refusal(file_of("[]", 0)), "expected an object"));
  CHECK(holds(refusal(file_of("{}", 4)), "tensors end at 0 of 4"));
  const auto one = [](const char* fields, std::size_t bytes) {
    return refusal(file_of(std::string(R"({"t":{)") + fields + "}}", bytes));
  };
  CHECK(holds(one(R"("dtype":"F64","shape":[1],"data_offsets":[0,8])", 8), "only F32"));
  CHECK(holds(one(R"("shape":[1],"data_offsets":[0,4])", 4), "no dtype"));
  CHECK(holds(one(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])", 4), "whole numbers"));
  CHECK(holds(one(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4])", 4),
              "at most 8"));
  CHECK(holds(one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])", 4),
              "whole numbers"));
  CHECK(holds(one(R"("dtype":"F32","shape":[268435456,268435456],"data_offsets":[0,4])", 4),
              "more values"));
  CHECK(holds(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])", 4), "outside the 4 bytes"));
  CHECK(holds(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])", 4), "outside"));
  CHECK(holds(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4), "needs 8 bytes"));
  CHECK(holds(one(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])", 8), "begins at 4"));
  CHECK(holds(one(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1)", 4), "unknown key"));
  const std::string t = R"("t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  CHECK(holds(refusal(file_of("{" + t + "," + t + "}", 4)), "occurs twice"));
  CHECK(holds(refusal(file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                              R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                              8)),
              "begins at 4, but the one before ends at 8"));
  CHECK(holds(refusal(file_of(R"({"__metadata__":{"a":1}})", 0)), "__metadata__.a"));
  CHECK(parse_tensor_file(file_of(R"({"t":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}})", 2))
            .error()
            .code == ErrorCode::kUnsupported);
}

TEST_CASE("Writing replaces a file in one step and leaves nothing beside it", "[nn][tensor_file]") {
  const std::filesystem::path path = folder() / "x.safetensors";
  std::ofstream(path) << "old";
  TensorFile file;
  file.tensors["t"] = {{1}, {2.5F}};
  REQUIRE(write_tensor_file(path, file).ok());
  CHECK(read_tensor_file(path).value().tensors.at("t").values.front() == 2.5F);
  std::size_t entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder())) {
    static_cast<void>(entry);
    ++entries;
  }
  CHECK(entries == 1);
  const auto missing = write_tensor_file(folder() / "no" / "x", file);
  REQUIRE_FALSE(missing.ok());
  CHECK(holds(missing.error().message, "cannot create"));
  CHECK(read_tensor_file(folder() / "none").error().code == ErrorCode::kNotFound);
  CHECK(holds(read_tensor_file(folder()).error().message, "not a regular file"));
  std::filesystem::remove_all(folder());
}

}  // namespace
}  // namespace anomalyd::nn
