// A simulated cluster and consumer: virtual time, seeded, so that each run is the same.
#include "ops/fetch/window_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <numeric>
#include <queue>
#include <random>
#include <utility>
#include <vector>

namespace tfcass {
namespace {

using std::chrono::milliseconds;

struct Cluster {
  std::function<double(double)> round_trip_s = [](double) { return 0.0001; };  // Of time.
  double rows_per_s = 25000;     // Of all hosts and workers together.
  double request_s = 30e-6;      // A worker's time for a request, whatever its rows.
  double jitter = 0.1;           // Part of the round trip and of the service time, exponential.
  int hosts = 1;
  int workers = 2;               // In each host; each serves its requests one after the other.
  double pause_every_s = 0;      // All stand still this often,
  double pause_s = 0;            // this long.
};

struct Consumer {
  size_t batch = 256;
  std::function<double(double)> think_s = [](double) { return 0.0; };  // For each element, of time.
  double copy_row_s = 3e-6;
  size_t rows_per_request = 32;
  int64_t row_bytes = 20000;
};

// What a fetcher does, as far as the window matters: elements in order, groups by host, a consumer that thinks.
class Simulation {
 public:
  Simulation(Cluster cluster, Consumer consumer, const FetchOptions& options)
      : cluster_(std::move(cluster)), consumer_(std::move(consumer)), window_(options) {
    for (int host = 0; host < cluster_.hosts; ++host) {
      free_at_.emplace_back(cluster_.workers, 0.0);
      waiting_.emplace_back();
    }
  }

  // Goes on until this time; returns the rows a second that the consumer took meanwhile.
  double RunUntil(double end_s) {
    const double began = now_;
    const size_t taken = taken_;
    rows_seen_.clear();
    while (now_ < end_s) Next();
    return static_cast<double>(taken_ - taken) / (now_ - began);
  }

  WindowControl& window() { return window_; }
  // Of the window's bound, at each Next() of the last RunUntil().
  double MeanBound() const {
    return static_cast<double>(std::accumulate(rows_seen_.begin(), rows_seen_.end(), size_t{0})) /
           static_cast<double>(rows_seen_.size());
  }
  size_t LargestBound() const { return *std::max_element(rows_seen_.begin(), rows_seen_.end()); }
  // Rows in the window, at most, since the start.
  size_t peak_rows() const { return peak_rows_; }

 private:
  struct Reply {
    double arrived;
    double sent;
    uint64_t host;
    std::vector<int64_t> elements;  // One for each row.
    bool operator<(const Reply& other) const { return arrived > other.arrived; }  // The first one on top.
  };

  Clock::TimePoint Time(double at_s) const { return Clock::TimePoint(std::chrono::hours(1)) + Clock::Seconds(at_s); }

  void Next() {
    rows_seen_.push_back(window_.rows());
    while (window_rows_ < window_.rows()) Submit();
    Send();
    const double before = now_;
    while (unsettled_.front() > 0) {
      if (replies_.empty()) FAIL() << "nothing in flight, and the consumer waits";
      now_ = std::max(now_, replies_.top().arrived);
      while (!replies_.empty() && replies_.top().arrived <= now_) OnReply();
      Send();
    }
    window_.OnWaited(Clock::Seconds(now_ - before));
    unsettled_.pop_front();
    ++first_element_;
    window_rows_ -= consumer_.batch;
    taken_ += consumer_.batch;
    window_.OnTaken(consumer_.batch, Time(now_));
    now_ += static_cast<double>(consumer_.batch) * consumer_.copy_row_s + consumer_.think_s(now_);
  }

  void Submit() {
    const int64_t element = first_element_ + static_cast<int64_t>(unsettled_.size());
    unsettled_.push_back(consumer_.batch);
    window_rows_ += consumer_.batch;
    peak_rows_ = std::max(peak_rows_, window_rows_);
    window_.OnSubmitted(consumer_.batch);
    for (size_t i = 0; i < consumer_.batch; ++i) waiting_[random_() % waiting_.size()].push_back(element);
  }

  // The host with most keys waiting first.
  void Send() {
    while (in_flight_ < window_.in_flight_rows()) {
      const auto most = std::max_element(waiting_.begin(), waiting_.end(),
                                         [](const auto& a, const auto& b) { return a.size() < b.size(); });
      if (most->empty()) return;
      // A part of a group waits for the rest of it while the hosts have enough to do.
      if (most->size() < consumer_.rows_per_request && 2 * in_flight_ > window_.in_flight_rows()) return;
      const size_t rows = std::min({most->size(), consumer_.rows_per_request, window_.in_flight_rows() - in_flight_});
      Reply reply;
      reply.sent = now_;
      reply.host = static_cast<uint64_t>(most - waiting_.begin());
      reply.elements.assign(most->begin(), most->begin() + static_cast<std::ptrdiff_t>(rows));
      most->erase(most->begin(), most->begin() + static_cast<std::ptrdiff_t>(rows));
      reply.arrived = Serve(reply.host, rows);
      replies_.push(std::move(reply));
      in_flight_ += rows;
    }
  }

  double Serve(uint64_t host, size_t rows) {
    const double trip = cluster_.round_trip_s(now_);
    const double row_s = static_cast<double>(cluster_.hosts * cluster_.workers) / cluster_.rows_per_s;
    auto worker = std::min_element(free_at_[host].begin(), free_at_[host].end());
    double start = std::max(now_ + trip / 2, *worker);
    if (cluster_.pause_every_s > 0) {
      const double within = std::fmod(start, cluster_.pause_every_s);
      if (within < cluster_.pause_s) start += cluster_.pause_s - within;
    }
    *worker = start + cluster_.request_s + static_cast<double>(rows) * row_s * Jitter();
    return *worker + trip / 2 + trip * (Jitter() - 1);
  }

  double Jitter() { return 1 + cluster_.jitter * std::exponential_distribution<double>()(random_); }

  void OnReply() {
    const Reply& reply = replies_.top();
    const size_t rows = reply.elements.size();
    for (const int64_t element : reply.elements) --unsettled_[static_cast<size_t>(element - first_element_)];
    in_flight_ -= rows;
    window_.OnReply(rows, rows, static_cast<int64_t>(rows) * consumer_.row_bytes, Time(reply.sent), Time(reply.arrived),
                    reply.host);
    replies_.pop();
  }

  const Cluster cluster_;
  const Consumer consumer_;
  WindowControl window_;
  std::mt19937_64 random_{7};
  double now_ = 0;
  std::vector<std::vector<double>> free_at_;          // By host and worker.
  std::vector<std::deque<int64_t>> waiting_;          // By host: the elements of the keys.
  std::deque<size_t> unsettled_;                      // By element, from first_element_ on.
  std::priority_queue<Reply> replies_;
  int64_t first_element_ = 0;
  size_t window_rows_ = 0;
  size_t in_flight_ = 0;
  size_t taken_ = 0;
  size_t peak_rows_ = 0;
  std::vector<size_t> rows_seen_;
};

Cluster ClusterAt(double round_trip_s, int hosts = 1) {
  Cluster cluster;
  cluster.round_trip_s = [round_trip_s](double) { return round_trip_s; };
  cluster.hosts = hosts;
  return cluster;
}

Consumer Batches(size_t rows) {
  Consumer consumer;
  consumer.batch = rows;
  return consumer;
}

FetchOptions Fixed(int64_t rows) {
  FetchOptions options;
  options.max_in_flight = rows;
  return options;
}

Clock::TimePoint At(Clock::Duration since) { return Clock::TimePoint(std::chrono::hours(1)) + since; }

// A reply of ten rows of this size.
void ReplyWithRows(WindowControl* window, int64_t row_bytes) {
  window->OnReply(10, 10, 10 * row_bytes, At(milliseconds(0)), At(milliseconds(1)));
}

struct Link {
  const char* name;
  double round_trip_s;
  int hosts;
  size_t batch;
  size_t rows_per_request;
  size_t most_rows;  // That the window may have where 23,000 rows a second come.
};

class WindowControlOnLinkTest : public ::testing::TestWithParam<Link> {
 protected:
  Cluster cluster() const { return ClusterAt(GetParam().round_trip_s, GetParam().hosts); }
  Consumer consumer() const {
    Consumer consumer = Batches(GetParam().batch);
    consumer.rows_per_request = GetParam().rows_per_request;
    return consumer;
  }
};

TEST_P(WindowControlOnLinkTest, IsWithinTenPercentOfTheBestFixedWindow) {
  double best = 0;
  for (const int64_t rows : {64, 256, 1024, 4096, 16384}) {
    Simulation fixed(cluster(), consumer(), Fixed(rows));
    fixed.RunUntil(2);  // Also empties what a large window sent at first.
    best = std::max(best, fixed.RunUntil(3));
  }
  Simulation tuned(cluster(), consumer(), FetchOptions());
  tuned.RunUntil(2);
  EXPECT_GE(tuned.RunUntil(4), 0.9 * best) << tuned.window().rows();
  EXPECT_GE(tuned.RunUntil(8), 0.9 * best) << tuned.window().rows();
  EXPECT_LE(tuned.MeanBound(), GetParam().most_rows);
}

INSTANTIATE_TEST_SUITE_P(Links, WindowControlOnLinkTest,
                         ::testing::Values(Link{"LoopbackBatches", 0.0001, 1, 256, 32, 700},
                                           Link{"LoopbackRows", 0.0001, 1, 1, 32, 400},
                                           Link{"LoopbackSingleKeys", 0.0001, 1, 256, 1, 500},
                                           Link{"LoopbackThreeHosts", 0.0001, 3, 256, 64, 2500},
                                           Link{"OneMillisecondBatches", 0.001, 1, 256, 32, 700},
                                           Link{"OneMillisecondThreeHosts", 0.001, 3, 64, 32, 2000},
                                           // 23,000 rows/s in 0.1 s: 2,300, and what jitter holds back.
                                           Link{"FarBatches", 0.1, 1, 256, 32, 7500},
                                           Link{"FarRows", 0.1, 1, 1, 64, 7500},
                                           Link{"FarThreeHosts", 0.1, 3, 256, 64, 9000}),
                         [](const auto& link) { return link.param.name; });

TEST(WindowControlTest, GrowsToSomeThousandRowsWithinTwoSecondsOnAFarLink) {
  Simulation simulation(ClusterAt(0.1), Batches(256), FetchOptions());
  simulation.RunUntil(2);
  EXPECT_GE(simulation.window().rows(), 2000u);
  EXPECT_GE(simulation.RunUntil(3), 18000);
}

TEST(WindowControlTest, FollowsALinkThatGetsLongerAndShorter) {
  Cluster cluster;
  cluster.round_trip_s = [](double now) { return now > 4.3 && now < 9.3 ? 0.1 : 0.001; };
  for (const size_t batch : {1, 256}) {
    Simulation simulation(cluster, Batches(batch), FetchOptions());
    simulation.RunUntil(4);
    const size_t near = simulation.window().rows();
    simulation.RunUntil(6);
    EXPECT_GE(simulation.RunUntil(9), 16000) << batch;
    EXPECT_GE(simulation.window().rows(), 2000u) << batch;
    simulation.RunUntil(10);
    EXPECT_GE(simulation.RunUntil(14.5), 18000) << batch;
    EXPECT_LE(simulation.RunUntil(16), 30000) << batch;
    EXPECT_LE(simulation.window().rows(), 2 * near) << batch;
  }
}

TEST(WindowControlTest, AQueueDoesNotPassForALongLink) {
  // Much longer than the memory of base latencies; all the while the server is busy.
  Simulation simulation(ClusterAt(0.001), Batches(64), FetchOptions());
  simulation.RunUntil(5);
  for (int i = 1; i <= 6; ++i) {
    simulation.RunUntil(5 + 5 * i);
    EXPECT_LE(simulation.LargestBound(), 800u) << "after " << 5 * i << " s";
  }
}

TEST(WindowControlTest, ASlowConsumerGetsWhatItTakesInARoundTrip) {
  Consumer consumer = Batches(1);
  consumer.think_s = [](double) { return 0.001; };
  Simulation near(ClusterAt(0.0001), consumer, FetchOptions());
  near.RunUntil(2);
  near.RunUntil(8);
  EXPECT_LE(near.LargestBound(), 130u);
  Simulation far(ClusterAt(0.1), consumer, FetchOptions());
  far.RunUntil(2);
  EXPECT_GE(far.RunUntil(8), 950);  // 1,000 rows/s are all that it takes; 100 of them are on the way.
  EXPECT_LE(far.LargestBound(), 400u);
}

TEST(WindowControlTest, ASlowConsumerOfBatchesHoldsFewBatches) {
  Consumer consumer = Batches(256);
  consumer.think_s = [](double) { return 0.1; };
  Simulation far(ClusterAt(0.1), consumer, FetchOptions());
  far.RunUntil(2);
  EXPECT_GE(far.RunUntil(8), 2300);
  EXPECT_LE(far.LargestBound(), 4 * 256u);
}

TEST(WindowControlTest, ShrinksWhenTheConsumerBecomesSlow) {
  Consumer consumer = Batches(64);
  consumer.think_s = [](double now) { return now < 4 ? 0.0 : 0.064; };
  Simulation simulation(ClusterAt(0.1), consumer, FetchOptions());
  simulation.RunUntil(4);
  EXPECT_GE(simulation.window().rows(), 2000u);
  simulation.RunUntil(8);
  EXPECT_LE(simulation.window().rows(), 600u);
}

TEST(WindowControlTest, PausesOfTheServerDoNotKeepItSmall) {
  Cluster cluster = ClusterAt(0.1);
  cluster.pause_every_s = 1;
  cluster.pause_s = 0.15;
  Simulation fixed(cluster, Batches(256), Fixed(8192));
  fixed.RunUntil(2);
  const double best = fixed.RunUntil(8);
  Simulation tuned(cluster, Batches(256), FetchOptions());
  tuned.RunUntil(2);
  EXPECT_GE(tuned.RunUntil(8), 0.85 * best);
}

TEST(WindowControlTest, StragglersDoNotKeepItSmall) {
  Cluster cluster = ClusterAt(0.1);
  cluster.jitter = 0.3;  // One row in a thousand comes 0.2 s later than the others, and all behind it wait.
  Simulation fixed(cluster, Batches(256), Fixed(8192));
  fixed.RunUntil(2);
  const double best = fixed.RunUntil(5);
  Simulation tuned(cluster, Batches(256), FetchOptions());
  tuned.RunUntil(4);
  EXPECT_GE(tuned.RunUntil(8), 0.9 * best);
}

TEST(WindowControlTest, BytesBoundTheRowsThatASimulationHolds) {
  Consumer consumer = Batches(16);
  consumer.row_bytes = 1'000'000;
  FetchOptions options;
  options.max_buffered_bytes = 100'000'000;
  Simulation simulation(ClusterAt(0.1), consumer, options);
  simulation.RunUntil(3);
  EXPECT_EQ(simulation.window().rows(), 100u);
  EXPECT_LT(simulation.peak_rows(), 100u + 16u);
}

TEST(WindowControlTest, AFewRowsUntilTheFirstTellsItsSize) {
  WindowControl window{FetchOptions()};
  EXPECT_EQ(window.rows(), WindowControl::kProbeRows);
  window.OnSubmitted(256);
  window.OnReply(10, 0, 0, At(milliseconds(0)), At(milliseconds(1)));  // None of them was found.
  EXPECT_EQ(window.in_flight_rows(), WindowControl::kProbeRows);
  ReplyWithRows(&window, 1000);
  EXPECT_GT(window.rows(), 256 + WindowControl::kMinRows);
}

TEST(WindowControlTest, RoomForOneMoreElementWhateverItsSize) {
  WindowControl window{FetchOptions()};
  ReplyWithRows(&window, 1000);
  for (const size_t rows : {1, 256, 5000, 100000}) {
    window.OnSubmitted(rows);
    EXPECT_GT(window.rows(), rows);
  }
}

TEST(WindowControlTest, AFixedWindowStaysWhateverIsMeasured) {
  Simulation simulation(ClusterAt(0.1), Batches(64), Fixed(100));
  simulation.RunUntil(3);
  EXPECT_EQ(simulation.window().rows(), 100u);
  EXPECT_EQ(simulation.window().in_flight_rows(), 100u);
  EXPECT_EQ(WindowControl(Fixed(1)).rows(), 1u);
}

TEST(WindowControlTest, BytesBoundAFixedWindowToo) {
  FetchOptions options = Fixed(100);
  options.max_buffered_bytes = 10'000;
  WindowControl window(options);
  ReplyWithRows(&window, 1000);
  EXPECT_EQ(window.rows(), 10u);
  EXPECT_EQ(window.mean_row_bytes(), 1000);
  ReplyWithRows(&window, 20'000'000);  // One such row is more than the bound.
  EXPECT_EQ(window.rows(), 1u);
}

TEST(WindowControlTest, EmptyRowsHaveASizeToo) {
  WindowControl window(Fixed(100));
  ReplyWithRows(&window, 0);
  EXPECT_EQ(window.rows(), 100u);
}

TEST(WindowControlTest, NeverAboveTheCeiling) {
  WindowControl window{FetchOptions()};
  Clock::TimePoint now = At(milliseconds(0));
  for (int i = 0; i < 100; ++i) {  // As many rows as there is room for, each second, and no limit in sight.
    const size_t rows = window.rows();
    window.OnReply(rows, rows, static_cast<int64_t>(rows), now, now + std::chrono::seconds(1));
    now += std::chrono::seconds(1);
    window.OnWaited(std::chrono::seconds(1));
    for (size_t row = 0; row < rows; ++row) window.OnTaken(1, now);
  }
  EXPECT_EQ(window.rows(), WindowControl::kMaxRows);
}

TEST(WindowControlTest, AnOverloadedServerGetsHalfAsManyRowsForAWhile) {
  Simulation simulation(ClusterAt(0.001), Batches(64), FetchOptions());
  simulation.RunUntil(2);
  WindowControl& window = simulation.window();
  const size_t before = window.in_flight_rows();
  window.OnOverloaded(At(std::chrono::seconds(2)));
  window.OnOverloaded(At(std::chrono::seconds(2)));  // Of what was in flight together: once.
  EXPECT_NEAR(static_cast<double>(window.in_flight_rows()), static_cast<double>(before) / 2, 1);
  window.OnOverloaded(At(std::chrono::seconds(3)));
  EXPECT_NEAR(static_cast<double>(window.in_flight_rows()), static_cast<double>(before) / 4, 1);
  simulation.RunUntil(5);
  EXPECT_GE(window.in_flight_rows(), before * 2 / 3);
}

}  // namespace
}  // namespace tfcass
