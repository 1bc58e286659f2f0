// delay_proxy: a TCP port that leads to a server as if it were far away. Each direction holds bytes back for `delay`.
//
//   delay_proxy --listen=127.0.0.9:9042 --server=127.0.0.1:9042
//     Prints "ready". Then each line "delay MS" on stdin sets the one-way delay of bytes read from now on, and is answered
//     by "ok"; the end of stdin ends the proxy.
//   delay_proxy --ceiling --delay_ms=50 --seconds=3
//     Pours bytes through itself over one connection and prints {"mb_per_s": ...}: what the proxy, the kernel and both
//     ends of such a connection can do on this machine.
//
// Time    Only `delay` is added: no limit of rate, no loss. Bytes read within a fifth of a millisecond travel together.
// Memory  A direction that holds kMaxHeld bytes reads no more until some have left.
// One thread, epoll. A connection whose either end fails is closed at both.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPieceBytes = 256 << 10;
constexpr size_t kMaxHeld = 512u << 20;
constexpr auto kTogether = std::chrono::microseconds(200);
constexpr int kReadsInARow = 8;  // Then the other connections have their turn.

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "delay_proxy: %s\n", why.c_str());
  std::exit(1);
}

[[noreturn]] void DieOfErrno(const std::string& what) { Die(what + ": " + std::strerror(errno)); }

sockaddr_in ParseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const int port = colon == std::string::npos ? -1 : std::atoi(text.c_str() + colon + 1);
  if (port < 0 || port > 65535 || inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    Die(text + " is not an address and port, as in 127.0.0.1:9042");
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

void SetOptions(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

// Listens; port 0 takes a free one, and `address` tells which.
int Listen(sockaddr_in* address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(fd, reinterpret_cast<sockaddr*>(address), sizeof(*address)) != 0) DieOfErrno("bind");
  if (listen(fd, 128) != 0) DieOfErrno("listen");
  socklen_t size = sizeof(*address);
  getsockname(fd, reinterpret_cast<sockaddr*>(address), &size);
  return fd;
}

int Connect(const sockaddr_in& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

// Bytes on their way in one direction of a connection.
class Pipe {
 public:
  Pipe(int from, int to) : from_(from), to_(to) {}

  // Reads what is there. False when the connection is broken.
  bool Read(Clock::duration delay) {
    for (int i = 0; i < kReadsInARow && wants_input(); ++i) {
      const Clock::time_point now = Clock::now();
      if (pieces_.empty() || pieces_.back().size == kPieceBytes || now - pieces_.back().read > kTogether) {
        pieces_.push_back({std::unique_ptr<char[]>(new char[kPieceBytes]), 0, 0, now, now + delay});
      }
      Piece& piece = pieces_.back();
      const ssize_t got = recv(from_, piece.bytes.get() + piece.size, kPieceBytes - piece.size, 0);
      if (got <= 0 && piece.size == 0) pieces_.pop_back();
      if (got == 0) ended_ = true;
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      if (got > 0) piece.size += static_cast<size_t>(got), held_ += static_cast<size_t>(got);
    }
    return true;
  }

  // Writes what is due. False when the connection is broken.
  bool Write() {
    const Clock::time_point now = Clock::now();
    blocked_ = false;
    while (!pieces_.empty() && pieces_.front().due <= now) {
      Piece& piece = pieces_.front();
      const ssize_t put = send(to_, piece.bytes.get() + piece.sent, piece.size - piece.sent, MSG_NOSIGNAL);
      if (put < 0) {
        blocked_ = errno == EAGAIN;
        return blocked_ || errno == EINTR;
      }
      piece.sent += static_cast<size_t>(put);
      held_ -= static_cast<size_t>(put);
      if (piece.sent == piece.size) pieces_.pop_front();
    }
    if (ended_ && pieces_.empty() && !told_) {
      shutdown(to_, SHUT_WR);
      told_ = true;
    }
    return true;
  }

  bool wants_input() const { return !ended_ && held_ < kMaxHeld; }
  bool blocked() const { return blocked_; }  // By `to`, which has to take more first.
  bool done() const { return told_; }
  // Nothing to wait for: the far future.
  Clock::time_point due() const { return pieces_.empty() || blocked_ ? Clock::time_point::max() : pieces_.front().due; }

 private:
  struct Piece {
    std::unique_ptr<char[]> bytes;
    size_t size, sent;
    Clock::time_point read, due;
  };

  const int from_, to_;
  std::deque<Piece> pieces_;
  size_t held_ = 0;
  bool ended_ = false, told_ = false, blocked_ = false;
};

struct Connection {
  Connection(int the_near, int the_far) : near(the_near), far(the_far), requests(near, far), replies(far, near) {}
  ~Connection() {
    close(near);
    close(far);
  }
  const int near, far;
  Pipe requests, replies;
  uint32_t near_events = 0, far_events = 0;  // As epoll was told.
};

class Proxy {
 public:
  Proxy(int listener, const sockaddr_in& server, int commands, Clock::duration delay)
      : listener_(listener), server_(server), commands_(commands), delay_(delay), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    fcntl(listener_, F_SETFL, O_NONBLOCK);
    Watch(EPOLL_CTL_ADD, listener_, EPOLLIN);
    if (commands_ >= 0) Watch(EPOLL_CTL_ADD, commands_, EPOLLIN);
  }

  // Until the commands end.
  void Run() {
    std::vector<epoll_event> events(64);
    while (true) {
      const int count = WaitForEvents(&events);
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_) {
          Accept();
        } else if (fd == commands_) {
          if (!TakeCommands()) return;
        } else if (const auto found = by_fd_.find(fd); found != by_fd_.end()) {
          OnEvent(found->second, fd, events[i].events);
        }
      }
      WriteWhatIsDue();
      closed_.clear();
    }
  }

 private:
  void Watch(int operation, int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, operation, fd, &event) != 0) DieOfErrno("epoll_ctl");
  }

  int WaitForEvents(std::vector<epoll_event>* events) {
    Clock::time_point due = Clock::time_point::max();
    for (const auto& connection : connections_) {
      due = std::min({due, connection->requests.due(), connection->replies.due()});
    }
    timespec timeout{};
    if (due != Clock::time_point::max()) {
      const auto left = std::max<int64_t>(0, std::chrono::nanoseconds(due - Clock::now()).count());
      timeout = {left / 1'000'000'000, left % 1'000'000'000};
    }
    const int count = epoll_pwait2(epoll_, events->data(), static_cast<int>(events->size()),
                                   due == Clock::time_point::max() ? nullptr : &timeout, nullptr);
    if (count < 0 && errno != EINTR) DieOfErrno("epoll_pwait2");
    return std::max(0, count);
  }

  void Accept() {
    while (true) {
      const int near = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (near < 0) return;
      const int far = Connect(server_);  // Loopback: at once, or refused at once.
      if (far < 0) {
        close(near);
        continue;
      }
      SetOptions(near);
      SetOptions(far);
      auto connection = std::make_shared<Connection>(near, far);
      for (int fd : {near, far}) {
        by_fd_[fd] = connection;
        Watch(EPOLL_CTL_ADD, fd, 0);
      }
      connections_.push_back(connection);
      Rewatch(connection.get());
    }
  }

  void OnEvent(std::shared_ptr<Connection> connection, int fd, uint32_t events) {
    Pipe& in = fd == connection->near ? connection->requests : connection->replies;
    Pipe& out = fd == connection->near ? connection->replies : connection->requests;
    bool intact = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) intact = in.Read(delay_) && in.Write();
    if (intact && events & EPOLLOUT) intact = out.Write();
    Settle(connection, intact && !(events & EPOLLERR));
  }

  void WriteWhatIsDue() {
    const Clock::time_point now = Clock::now();
    for (const auto& connection : std::vector<std::shared_ptr<Connection>>(connections_)) {
      bool intact = true;
      for (Pipe* pipe : {&connection->requests, &connection->replies}) {
        if (pipe->due() <= now) intact = intact && pipe->Write();
      }
      Settle(connection, intact);
    }
  }

  void Settle(const std::shared_ptr<Connection>& connection, bool intact) {
    if (intact && !(connection->requests.done() && connection->replies.done())) return Rewatch(connection.get());
    if (by_fd_.erase(connection->near) + by_fd_.erase(connection->far) == 0) return;  // Closed by an event before.
    for (auto i = connections_.begin(); i != connections_.end(); ++i) {
      if (*i != connection) continue;
      closed_.push_back(connection);
      connections_.erase(i);
      break;
    }
  }

  void Rewatch(Connection* connection) {
    const auto events = [](const Pipe& in, const Pipe& out) {
      return (in.wants_input() ? EPOLLIN : 0u) | (out.blocked() ? EPOLLOUT : 0u);
    };
    const uint32_t near = events(connection->requests, connection->replies);
    const uint32_t far = events(connection->replies, connection->requests);
    if (near != connection->near_events) Watch(EPOLL_CTL_MOD, connection->near, connection->near_events = near);
    if (far != connection->far_events) Watch(EPOLL_CTL_MOD, connection->far, connection->far_events = far);
  }

  // False at the end of the commands.
  bool TakeCommands() {
    char buffer[256];
    const ssize_t got = read(commands_, buffer, sizeof(buffer));
    if (got <= 0) return false;
    line_.append(buffer, static_cast<size_t>(got));
    for (size_t end; (end = line_.find('\n')) != std::string::npos; line_.erase(0, end + 1)) {
      double ms = 0;
      if (std::sscanf(line_.c_str(), "delay %lf", &ms) != 1 || ms < 0) Die("'" + line_.substr(0, end) + "' is no command");
      delay_ = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(ms));
      std::puts("ok");
      std::fflush(stdout);
    }
    return true;
  }

  const int listener_;
  const sockaddr_in server_;
  const int commands_;  // -1: none.
  Clock::duration delay_;
  const int epoll_;
  std::string line_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> closed_;  // Until this turn ends: its events may name their descriptors.
  std::unordered_map<int, std::shared_ptr<Connection>> by_fd_;
};

// Pours bytes through a proxy within this process.
int MeasureCeiling(Clock::duration delay, double seconds) {
  sockaddr_in server = ParseAddress("127.0.0.1:0"), front = server;
  const int source = Listen(&server);
  const int listener = Listen(&front);
  std::thread([source] {
    const int fd = accept(source, nullptr, nullptr);
    const std::vector<char> bytes(kPieceBytes, 'x');
    while (send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
    }
  }).detach();
  std::thread([=] { Proxy(listener, server, -1, delay).Run(); }).detach();
  std::atomic<uint64_t> bytes{0};
  std::thread([&bytes, front] {
    const int fd = Connect(front);
    if (fd < 0) DieOfErrno("connect");
    std::vector<char> buffer(kPieceBytes);
    for (ssize_t got; (got = recv(fd, buffer.data(), buffer.size(), 0)) > 0;) bytes += static_cast<uint64_t>(got);
  }).detach();

  std::this_thread::sleep_for(std::chrono::milliseconds(500) + 2 * delay);
  const uint64_t before = bytes;
  const Clock::time_point start = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const double taken = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("{\"mb_per_s\": %.1f}\n", static_cast<double>(bytes - before) / 1e6 / taken);
  std::fflush(stdout);
  std::_Exit(0);  // The threads are still pouring.
}

std::string Flag(int argc, char** argv, const std::string& name) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind("--" + name + "=", 0) == 0) return argument.substr(name.size() + 3);
  }
  Die("--" + name + "=... is missing");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--ceiling") == 0) {
    const std::chrono::duration<double, std::milli> delay(std::atof(Flag(argc, argv, "delay_ms").c_str()));
    return MeasureCeiling(std::chrono::duration_cast<Clock::duration>(delay),
                          std::atof(Flag(argc, argv, "seconds").c_str()));
  }
  sockaddr_in front = ParseAddress(Flag(argc, argv, "listen"));
  const sockaddr_in server = ParseAddress(Flag(argc, argv, "server"));
  const int listener = Listen(&front);
  std::puts("ready");
  std::fflush(stdout);
  Proxy(listener, server, STDIN_FILENO, Clock::duration::zero()).Run();
  return 0;
}
