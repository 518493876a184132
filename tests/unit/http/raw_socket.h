#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace anomalyd::http::testing {

/// A TCP connection to 127.0.0.1 that sends any bytes and tells what comes back, for what a
/// well-behaved client cannot do. Waits for five seconds at most.
class RawSocket {
 public:
  explicit RawSocket(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer != 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // The sockets interface takes every kind of address by this one pointer type.
    is_connected_ =
        ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawSocket() { ::close(fd_); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  bool is_connected() const { return is_connected_; }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  void shut() { ::shutdown(fd_, SHUT_WR); }

  /// All up to and with `end`; less when the other side closes or the time is over.
  std::string read_until(std::string_view end) {
    while (received_.find(end) == std::string::npos && read_more()) {
    }
    const std::size_t at = received_.find(end);
    return take(at == std::string::npos ? received_.size() : at + end.size());
  }
  /// One response with a Content-Length or without a body.
  std::string read_response(bool has_body = true) {
    std::string out = read_until("\r\n\r\n");
    const std::size_t at = out.find("Content-Length: ");
    if (!has_body || at == std::string::npos) return out;
    const std::size_t length = std::stoul(out.substr(at + 16));
    while (received_.size() < length && read_more()) {
    }
    return out + take(length);
  }
  /// All until the other side closes.
  std::string read_to_end() {
    while (read_more()) {
    }
    return take(received_.size());
  }
  /// True once the other side has closed; false when it has not in five seconds.
  bool is_closed() const { return is_closed_; }

 private:
  std::string take(std::size_t count) {
    std::string out = received_.substr(0, count);
    received_.erase(0, count);
    return out;
  }
  bool read_more() {
    pollfd waiting{fd_, POLLIN, 0};
    if (is_closed_ || ::poll(&waiting, 1, 5000) <= 0) return false;
    std::array<char, 65536> bytes{};
    const ssize_t count = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (count <= 0) {
      is_closed_ = true;
      return false;
    }
    received_.append(bytes.data(), static_cast<std::size_t>(count));
    return true;
  }

  int fd_;
  bool is_connected_ = false;
  bool is_closed_ = false;
  std::string received_;
};

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// "HTTP/1.1 404" -> 404; 0 when it is no response.
inline int status_of(std::string_view response) {
  if (response.substr(0, 9) != "HTTP/1.1 " || response.size() < 12) return 0;
  return std::stoi(std::string(response.substr(9, 3)));
}

}  // namespace anomalyd::http::testing
