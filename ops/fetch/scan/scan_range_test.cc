#include "ops/fetch/scan/scan_range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>

namespace tfcass {

void PrintTo(const ScanRange& range, std::ostream* out) { *out << "(" << range.after << ", " << range.upto << "]"; }

namespace {

using Ranges = std::vector<ScanRange>;

bool Always(int64_t) { return true; }

// A token that is as often extreme, or next to another, as anywhere.
int64_t AnyToken(std::mt19937_64& random) {
  const int64_t anywhere = static_cast<int64_t>(random());
  switch (random() % 6) {
    case 0:
      return kMinToken + static_cast<int64_t>(random() % 3);
    case 1:
      return kMaxToken - static_cast<int64_t>(random() % 3);
    case 2:
      return static_cast<int64_t>(random() % 5) - 2;
    default:
      return anywhere;
  }
}

std::vector<int64_t> AnyRing(std::mt19937_64& random) {
  std::vector<int64_t> ring(random() % 40);
  for (int64_t& token : ring) token = AnyToken(random);
  return ring;
}

// That they are, by token, the whole ring: no token left out, none twice.
void ExpectWholeRing(std::vector<ScanRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.after < b.after; });
  ASSERT_FALSE(ranges.empty());
  EXPECT_EQ(ranges.front().after, kMinToken);
  EXPECT_EQ(ranges.back().upto, kMaxToken);
  for (size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_LT(ranges[i].after, ranges[i].upto);
    if (i > 0) {
      EXPECT_EQ(ranges[i].after, ranges[i - 1].upto);
    }
  }
}

TEST(ScanRangeTest, TheWholeRingSpansAllTokens) {
  EXPECT_EQ(ScanRange().Span(), UINT64_MAX);
  EXPECT_EQ((ScanRange{-1, 0}).Span(), 1u);
}

TEST(ScanRangeTest, RangesAreCutAtTheTokensOfTheRing) {
  EXPECT_EQ(CutAt({{}}, {5, -7, 5}), (Ranges{{kMinToken, -7}, {-7, 5}, {5, kMaxToken}}));
  EXPECT_EQ(CutAt({{0, 10}, {20, 30}}, {0, 10, 20, 25, 30, 31}), (Ranges{{0, 10}, {20, 25}, {25, 30}}));
  EXPECT_EQ(CutAt({{}}, {}), Ranges{{}});
  EXPECT_EQ(CutAt({{}}, {kMinToken, kMaxToken}), Ranges{{}});
}

TEST(ScanRangeTest, AnyRingIsCoveredOnceAndNoPieceCrossesAToken) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const std::vector<int64_t> ring = AnyRing(random);

    const std::vector<ScanRange> pieces = CutAt({{}}, ring);

    ExpectWholeRing(pieces);
    for (const ScanRange& piece : pieces) {
      for (const int64_t token : ring) EXPECT_FALSE(piece.after < token && token < piece.upto);
    }
  }
}

TEST(RangeQueueTest, AnyRingIsReadOnceWhateverItHoldsAndWhoeverIsFree) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    RangeQueue queue(CutAt({{}}, AnyRing(random)), 1 + static_cast<int64_t>(random() % 64));
    const double emptiness = static_cast<double>(random() % 3) / 2;
    const double token_bytes = static_cast<double>(int64_t{1} << (random() % 34)) / 1.8446744e19;
    std::vector<ScanRange> slices;
    ScanRange slice;
    bool refused = false;
    while (!queue.empty()) {
      ASSERT_LT(slices.size(), 100'000u);
      const auto may_read = [&](int64_t) { return refused || random() % 4 > 0; };
      const int64_t first = queue.first_token();
      refused = !queue.Take(may_read, &slice);
      if (refused) continue;
      EXPECT_GE(slice.after, first);
      slices.push_back(slice);
      const bool empty = std::uniform_real_distribution<>()(random) < emptiness;
      if (!empty) queue.OnBytes(static_cast<int64_t>(static_cast<double>(slice.Span()) * token_bytes));
      queue.OnEnd(empty);
    }
    ExpectWholeRing(slices);
  }
}

TEST(RangeQueueTest, AnEmptyTableTakesFewRequests) {
  RangeQueue queue({{}}, 8);
  ScanRange slice;
  int slices = 0;
  for (; queue.Take(Always, &slice); ++slices) queue.OnEnd(true);

  EXPECT_LT(slices, 100);
}

TEST(RangeQueueTest, SlicesHoldSomeMegabytesOnceTheDensityIsKnown) {
  RangeQueue queue({{}}, 8);
  const double token_bytes = 1e12 / 1.8446744e19;  // A table of a terabyte.
  ScanRange slice;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(queue.Take(Always, &slice));
    const double bytes = static_cast<double>(slice.Span()) * token_bytes;
    if (i > 1) {
      EXPECT_NEAR(bytes, 8 << 20, 4 << 20);
    }
    queue.OnBytes(static_cast<int64_t>(bytes));
    queue.OnEnd(false);
  }
}

TEST(RangeQueueTest, TheLastSlicesAreSmallSoThatReadersEndTogether) {
  RangeQueue queue({{}}, 8);
  const double token_bytes = 64e6 / 1.8446744e19;  // Eight slices' worth.
  ScanRange slice;
  double last_bytes = 0;
  int slices = 0;
  for (; queue.Take(Always, &slice); ++slices) {
    last_bytes = static_cast<double>(slice.Span()) * token_bytes;
    queue.OnBytes(static_cast<int64_t>(last_bytes));
    queue.OnEnd(false);
  }

  EXPECT_GT(slices, 16);
  EXPECT_LT(last_bytes, 2e6);
}

TEST(RangeQueueTest, TheFirstRangeWithAFreeOwnerIsRead) {
  RangeQueue queue({{0, 10}, {10, 20}, {20, 30}}, 1);
  ScanRange slice;

  ASSERT_TRUE(queue.Take([](int64_t upto) { return upto >= 20; }, &slice));
  EXPECT_EQ(slice, (ScanRange{10, 20}));
  EXPECT_FALSE(queue.Take([](int64_t) { return false; }, &slice));
  EXPECT_EQ(queue.ranges(), (Ranges{{0, 10}, {20, 30}}));
}

}  // namespace
}  // namespace tfcass
