#include "ops/fetch/scan/scan_state.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

ScanState Some() {
  ScanState state;
  state.fingerprint = "SELECT 1";
  state.begun = {{{kMinToken, -3}, {std::string("\0\n\xff", 3), 7, 9}}, {{-3, 5}, {}}};
  state.waiting = {{5, 6}, {6, 7}, {9, kMaxToken}};
  return state;
}

TEST(ScanStateTest, WhatIsSavedComesBack) {
  ScanState state;
  ASSERT_TRUE(ScanState::Parse(Some().Serialize(), "SELECT 1", &state).ok());

  ASSERT_EQ(state.begun.size(), 2u);
  EXPECT_EQ(state.begun[0].range, (ScanRange{kMinToken, -3}));
  EXPECT_EQ(state.begun[0].position.paging_state, std::string("\0\n\xff", 3));
  EXPECT_EQ(state.begun[0].position.skip, 7);
  EXPECT_EQ(state.begun[0].position.total, 9);
  EXPECT_EQ(state.begun[1].range, (ScanRange{-3, 5}));
  EXPECT_EQ(state.waiting, (std::vector<ScanRange>{{5, 7}, {9, kMaxToken}}));
}

TEST(ScanStateTest, ADamagedTextIsRefusedWhereverItEnds) {
  const std::string text = Some().Serialize();
  ScanState state;
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(ScanState::Parse(text.substr(0, size), "SELECT 1", &state).code(), StatusCode::kInvalidArgument) << size;
  }
  EXPECT_FALSE(ScanState::Parse(text + "x", "SELECT 1", &state).ok());
  for (size_t place = 0; place < text.size(); ++place) {  // Whatever it becomes, nothing crashes.
    std::string other = text;
    other[place] = static_cast<char>(~other[place]);
    static_cast<void>(ScanState::Parse(other, "SELECT 1", &state).ok());
  }
}

TEST(ScanStateTest, AnotherScansStateIsRefusedWithBothStatements) {
  ScanState state;
  const Status status = ScanState::Parse(Some().Serialize(), "SELECT 2\nx", &state);

  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("SELECT 1 is not this one's SELECT 2,"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace tfcass
