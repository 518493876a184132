#include "ingest/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace anomalyd::ingest {
namespace {

constexpr std::size_t kPadding = 64;
constexpr int kGzipOrZlib = 15 + 32;  // window bits; zlib's way to ask for header detection
constexpr int kGzip = 15 + 16;

/// zlib counts in 32 bits.
uInt portion(std::size_t bytes) {
  return static_cast<uInt>(std::min<std::size_t>(bytes, std::numeric_limits<uInt>::max()));
}

Bytef* bytes_of(const char* text) {
  // zlib's next_in is not const unless ZLIB_CONST is defined, but it does not write there.
  return reinterpret_cast<Bytef*>(const_cast<char*>(text));  // NOLINT
}

class Inflater {
 public:
  Inflater() { ready_ = inflateInit2(&stream_, kGzipOrZlib) == Z_OK; }
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const { return ready_; }
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

Error corrupt(const std::string& what) { return Error{ErrorCode::kCorrupt, "gzip: " + what}; }

}  // namespace

Result<std::string> gunzip(std::string_view body, std::size_t max_bytes) {
  Inflater inflater;
  if (!inflater.ready()) return Error{ErrorCode::kExhausted, "gzip: no memory to unpack"};
  z_stream& stream = inflater.stream();
  std::string out;
  std::size_t used = 0;
  std::size_t read = 0;
  const auto guess = std::max<std::size_t>(4096, body.size() * 4);
  for (;;) {
    if (used == out.size() && used <= max_bytes) {
      // One byte above the limit tells a body of just that size from a larger one.
      const std::size_t size = std::min(std::max(guess, used * 2), max_bytes + 1);
      out.reserve(size + kPadding);
      out.resize(size);
    }
    stream.next_in = bytes_of(body.data() + read);
    stream.avail_in = portion(body.size() - read);
    stream.next_out = bytes_of(out.data() + used);
    stream.avail_out = portion(out.size() - used);
    const uInt in_before = stream.avail_in;
    const uInt out_before = stream.avail_out;
    const int status = inflate(&stream, Z_NO_FLUSH);
    read += in_before - stream.avail_in;
    used += out_before - stream.avail_out;
    if (used > max_bytes) {
      return Error{ErrorCode::kExhausted,
                   "gzip: unpacks to more than " + std::to_string(max_bytes) + " bytes"};
    }
    if (status == Z_STREAM_END) {
      if (read == body.size()) break;
      if (static_cast<unsigned char>(body[read]) != 0x1f || inflateReset(&stream) != Z_OK) {
        return corrupt("something else behind its end at byte " + std::to_string(read));
      }
    } else if (status == Z_MEM_ERROR) {
      return Error{ErrorCode::kExhausted, "gzip: no memory to unpack"};
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      return corrupt(std::string(stream.msg == nullptr ? "needs a dictionary" : stream.msg) +
                     " at byte " + std::to_string(read));
    } else if (read == body.size() && stream.avail_out > 0) {
      return corrupt("cut off after " + std::to_string(read) + " bytes");
    }
  }
  out.resize(used);
  out.reserve(used + kPadding);
  return out;
}

Result<std::string> gzip(std::string_view body) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return Error{ErrorCode::kExhausted, "gzip: no memory to pack"};
  }
  std::string out;
  std::size_t read = 0;
  std::size_t used = 0;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    if (used == out.size()) out.resize(std::max<std::size_t>(512, used + body.size() / 2));
    const uInt in = portion(body.size() - read);
    const uInt room = portion(out.size() - used);
    stream.next_in = bytes_of(body.data() + read);
    stream.avail_in = in;
    stream.next_out = bytes_of(out.data() + used);
    stream.avail_out = room;
    status = deflate(&stream, read + in == body.size() ? Z_FINISH : Z_NO_FLUSH);
    ANOMALYD_CHECK(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR,
                   "deflate of a good stream");
    read += in - stream.avail_in;
    used += room - stream.avail_out;
  }
  deflateEnd(&stream);
  out.resize(used);
  return out;
}

}  // namespace anomalyd::ingest
