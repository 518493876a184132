// Replays seeds and seeded mutations of them through LLVMFuzzerTestOneInput for one second:
// what libFuzzer does, without its coverage feedback, for builds without clang.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::size_t below(std::mt19937_64& bits, std::size_t bound) {
  return bound == 0 ? 0 : static_cast<std::size_t>(bits() % bound);
}

std::string mutate(std::string text, const std::vector<std::string>& seeds, std::mt19937_64& bits) {
  static constexpr char kTelling[] = "\0\n\r\t \"\\{}[]:,=#%+-.eE0919\xff\x80\xc3";
  const std::size_t edits = 1 + below(bits, 6);
  for (std::size_t i = 0; i < edits; ++i) {
    const std::size_t at = below(bits, text.size() + 1);
    switch (below(bits, 7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(bits() & 0xffU);
        break;
      case 1:
        text.insert(at, 1, kTelling[below(bits, sizeof kTelling - 1)]);
        break;
      case 2:
        text.erase(at, 1 + below(bits, 8));
        break;
      case 3:
        text.resize(at);
        break;
      case 4: {
        const std::string& other = seeds[below(bits, seeds.size())];
        text.insert(at, other, below(bits, other.size() + 1), 1 + below(bits, 32));
        break;
      }
      case 5:
        if (at < text.size()) text[at] = kTelling[below(bits, sizeof kTelling - 1)];
        break;
      default:
        text.insert(at, text.substr(below(bits, text.size() + 1), 1 + below(bits, 64)));
        break;
    }
    if (text.size() > 65536) text.resize(65536);
  }
  return text;
}

void run(const std::string& text) {
  // An exact-size heap copy, so that a sanitizer sees a read one byte past the end.
  const std::vector<std::uint8_t> copy(text.begin(), text.end());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

}  // namespace

int main(int argc, char* argv[]) {
  std::vector<std::string> seeds{""};
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  if (seeds.size() == 1) {
    std::fprintf(stderr, "no seeds: name a corpus folder\n");
    return 2;
  }
  for (const std::string& seed : seeds) run(seed);
  std::mt19937_64 bits(1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  std::size_t inputs = seeds.size();
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 16; ++i, ++inputs) {
      run(mutate(seeds[below(bits, seeds.size())], seeds, bits));
    }
  }
  std::printf("%zu inputs, no crash\n", inputs);
  return 0;
}
