#include "http/request_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/version.hpp>
#include <limits>

#include "base/text.h"

namespace anomalyd::http {

namespace beast = boost::beast;
namespace beast_http = boost::beast::http;
using Failure = boost::system::error_code;

namespace {

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

void make_lower(std::string& text) {
  std::transform(text.begin(), text.end(), text.begin(), to_lower);
}

bool is_printable_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

void append_list(std::string& out, std::string_view value) {
  if (!out.empty()) out += ", ";
  out += value;
}

}  // namespace

/// Beast's parser without its message: it writes straight into a Request.
class RequestParser::Reader final : public beast_http::basic_parser<true> {
 public:
  Reader(Request& request, std::string& target) : request_(&request), target_(&target) {}

  bool has_request_line() const { return version_ != 0; }
  bool expects_continue() const { return expects_continue_ && version_ == 11; }
  /// What the header's fields ask for; 0 when they are good.
  int refusal() const { return refusal_; }
  const char* reason() const { return reason_; }

 private:
  void refuse(int status, const char* reason) {
    if (refusal_ != 0) return;
    refusal_ = status;
    reason_ = reason;
  }

  void on_request_impl(beast_http::verb, beast::string_view method, beast::string_view target,
                       int version, Failure&) override {
    request_->method.assign(view(method));
    target_->assign(view(target));
    version_ = version;
  }
  void on_field_impl(beast_http::field name, beast::string_view, beast::string_view text,
                     Failure&) override;
  void on_header_impl(Failure&) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Failure&) override {}
  std::size_t on_body_impl(beast::string_view body, Failure&) override { return body.size(); }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, Failure&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, Failure&) override {
    request_->body.append(view(body));
    return body.size();
  }
  void on_finish_impl(Failure&) override {}
  void on_response_impl(int, beast::string_view, int, Failure&) override {}
#if BOOST_BEAST_VERSION >= 359
  void on_trailer_field_impl(beast_http::field, beast::string_view, beast::string_view,
                             Failure&) override {}
#endif

  Request* request_;
  std::string* target_;
  int version_ = 0;
  int refusal_ = 0;
  const char* reason_ = "";
  bool has_host_ = false;
  bool has_type_ = false;
  bool has_authorization_ = false;
  bool expects_continue_ = false;
};

void RequestParser::Reader::on_field_impl(beast_http::field name, beast::string_view,
                                          beast::string_view text, Failure&) {
  if (is_header_done()) return;  // of a trailer: it says nothing that we use
  // A second Host, type or authorization would leave open which one is meant.
  const auto once = [this](bool& seen, const char* reason) {
    if (seen) refuse(400, reason);
    seen = true;
  };
  const std::string_view value = view(text);
  switch (name) {
    case beast_http::field::host:
      once(has_host_, "request header: more than one Host");
      break;
    case beast_http::field::content_type:
      once(has_type_, "request header: more than one Content-Type");
      request_->content_type.assign(value);
      break;
    case beast_http::field::authorization:
      once(has_authorization_, "request header: more than one Authorization");
      request_->authorization.assign(value);
      break;
    case beast_http::field::content_encoding:
      append_list(request_->content_encoding, value);
      break;
    case beast_http::field::accept:
      append_list(request_->accept, value);
      break;
    case beast_http::field::expect:
      if (!equals_any_case(value, "100-continue")) {
        refuse(417, "request header: Expect: only 100-continue is known");
      }
      expects_continue_ = true;
      break;
    case beast_http::field::transfer_encoding:
      // Beast looks only whether `chunked` comes last: "gzip, chunked" would pass as chunked, and
      // "gzip" as no body at all.
      if (!equals_any_case(value, "chunked")) {
        refuse(501, "request header: Transfer-Encoding: only chunked is known");
      }
      break;
    default:
      break;
  }
}

void RequestParser::Reader::on_header_impl(Failure&) {
  if (version_ == 11 && !has_host_) refuse(400, "request header: no Host");
  for (const std::string* value : {&request_->content_type, &request_->content_encoding,
                                   &request_->accept, &request_->authorization}) {
    if (!is_printable_ascii(*value)) refuse(400, "request header: a field is not ASCII");
  }
  std::string& type = request_->content_type;
  type.resize(std::min(type.find(';'), type.size()));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  make_lower(type);
  make_lower(request_->content_encoding);
}

RequestParser::RequestParser(const Limits& limits) : limits_(limits) {}
RequestParser::~RequestParser() = default;

void RequestParser::begin(Request& request) {
  request.method.clear();
  request.path.clear();
  request.query.clear();
  request.captures.clear();
  request.content_type.clear();
  request.content_encoding.clear();
  request.accept.clear();
  request.authorization.clear();
  request.token.reset();
  request.body.clear();
  target_.clear();
  head_bytes_ = 0;
  refusal_status_ = 0;
  refusal_detail_.clear();
  reader_ = std::make_unique<Reader>(request, target_);
  reader_->header_limit(std::numeric_limits<std::uint32_t>::max());
  reader_->body_limit(boost::none);
}

RequestParser::State RequestParser::refuse(int status, std::string detail) {
  refusal_status_ = status;
  refusal_detail_ = std::move(detail);
  return State::kRefused;
}

RequestParser::State RequestParser::read_head(std::string_view bytes, std::size_t& used) {
  Reader& parser = *reader_;
  Failure failure;
  used = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), failure);
  head_bytes_ += used;
  const bool is_more = failure == beast_http::error::need_more;
  // Beast's own limit is on what it could not yet take, and it may take field by field: endless
  // small fields would pass it. So the sum is held here.
  const std::string_view rest = bytes.substr(used);
  const bool is_long = head_bytes_ + (is_more ? rest.size() : 0) > limits_.max_header_bytes;
  const auto has_line = [&] {  // Beast may wait for the end of the header before it takes any
    return parser.has_request_line() || rest.find('\n') != std::string_view::npos;
  };
  if (target_.size() > limits_.max_target_bytes || (is_long && !has_line())) {
    return refuse(
        414, "request target: longer than " + std::to_string(limits_.max_target_bytes) + " bytes");
  }
  if (is_long) {
    return refuse(
        431, "request header: longer than " + std::to_string(limits_.max_header_bytes) + " bytes");
  }
  if (is_more) return State::kMore;
  if (failure) return refuse(400, "request header: " + failure.message());
  if (parser.refusal() != 0) return refuse(parser.refusal(), parser.reason());
  if (content_length() > limits_.max_body_bytes) {
    return refuse(413, "request body: " + std::to_string(content_length()) +
                           " bytes, allowed are " + std::to_string(limits_.max_body_bytes));
  }
  if (parser.is_done()) return State::kDone;
  parser.body_limit(limits_.max_body_bytes);
  parser.eager(true);
  return State::kHead;
}

RequestParser::State RequestParser::read_chunks(std::string_view bytes, std::size_t& used) {
  Reader& parser = *reader_;
  Failure failure;
  used = parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), failure);
  if (failure == beast_http::error::body_limit) {
    return refuse(413, "request body: longer than the " + std::to_string(limits_.max_body_bytes) +
                           " bytes that are allowed");
  }
  if (failure && failure != beast_http::error::need_more) {
    return refuse(400, "request body: " + failure.message());
  }
  if (parser.is_done()) return State::kDone;
  // What stays behind is a chunk's header or the trailer: neither has a limit in Beast.
  if (bytes.size() - used > limits_.max_header_bytes) {
    return refuse(431, "request body: chunk header or trailer longer than " +
                           std::to_string(limits_.max_header_bytes) + " bytes");
  }
  return State::kMore;
}

bool RequestParser::is_chunked() const { return reader_->chunked(); }
std::size_t RequestParser::content_length() const {
  return static_cast<std::size_t>(reader_->content_length().value_or(0));
}
bool RequestParser::keep_alive() const { return reader_->keep_alive(); }
bool RequestParser::expects_continue() const { return reader_->expects_continue(); }
const std::string& RequestParser::target() const { return target_; }
int RequestParser::refusal_status() const { return refusal_status_; }
const std::string& RequestParser::refusal_detail() const { return refusal_detail_; }

}  // namespace anomalyd::http
