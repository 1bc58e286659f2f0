#include "ops/fetch/element_window.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

Row Found(uint8_t id) {
  Row row;
  row.key[0] = id;
  row.found = true;
  return row;
}

TEST(ElementWindowTest, DeterministicElementsLeaveInOrder) {
  ElementWindow window(/*deterministic=*/true, /*skip_missing=*/false);
  window.Add({Key{1}, Key{2}});
  window.Add({Key{3}});
  EXPECT_EQ(window.rows(), 3u);
  window.Settle(1, 0, Found(3));
  window.Settle(0, 1, Found(2));
  EXPECT_FALSE(window.Ready());
  window.Settle(0, 0, Found(1));

  Element element;
  ASSERT_TRUE(window.Ready());
  ASSERT_TRUE(window.Take(&element).ok());
  EXPECT_EQ(element.index, 0);
  EXPECT_EQ(element.rows[0].key[0], 1);
  EXPECT_EQ(element.rows[1].key[0], 2);
  EXPECT_EQ(window.rows(), 1u);
  ASSERT_TRUE(window.Take(&element).ok());
  EXPECT_EQ(element.index, 1);
  EXPECT_FALSE(window.Ready());
  EXPECT_EQ(window.elements(), 0u);
}

TEST(ElementWindowTest, OtherElementsLeaveAsTheyComplete) {
  ElementWindow window(/*deterministic=*/false, /*skip_missing=*/false);
  window.Add({Key{1}});
  window.Add({Key{2}});
  window.Add({});
  window.Settle(1, 0, Found(2));
  window.Settle(0, 0, Found(1));
  for (const int64_t expected : {2, 1, 0}) {
    Element element;
    ASSERT_TRUE(window.Ready());
    ASSERT_TRUE(window.Take(&element).ok());
    EXPECT_EQ(element.index, expected);
  }
}

TEST(ElementWindowTest, TheFirstRowsErrorWinsWhateverTheOrder) {
  for (const bool reversed : {false, true}) {
    ElementWindow window(/*deterministic=*/true, /*skip_missing=*/false);
    window.Add({Key{1}, Key{2}, Key{3}});
    window.Settle(0, 0, Found(1));
    window.Fail(0, reversed ? 2 : 1, NotFound(reversed ? "third" : "second"));
    EXPECT_FALSE(window.Ready());
    window.Fail(0, reversed ? 1 : 2, NotFound(reversed ? "second" : "third"));
    Element element;
    ASSERT_TRUE(window.Ready());
    EXPECT_EQ(window.Take(&element).message(), "second");
    EXPECT_EQ(window.elements(), 0u);
  }
}

TEST(ElementWindowTest, AnErrorTellsWhichElementItIs) {
  for (const bool deterministic : {true, false}) {
    ElementWindow window(deterministic, /*skip_missing=*/false);
    window.Add({Key{1}});
    window.Add({Key{2}});
    window.Settle(0, 0, Found(1));
    window.Fail(1, 0, NotFound("second"));
    Element element;
    ASSERT_TRUE(window.Take(&element).ok());
    EXPECT_EQ(window.Take(&element).message(), "second");
    EXPECT_EQ(element.index, 1);
  }
}

TEST(ElementWindowTest, SkipsMissingRowsInPlace) {
  ElementWindow window(/*deterministic=*/true, /*skip_missing=*/true);
  window.Add({Key{1}, Key{2}, Key{3}});
  window.Settle(0, 0, Found(1));
  window.Settle(0, 1, Row{});
  window.Settle(0, 2, Found(3));
  Element element;
  ASSERT_TRUE(window.Take(&element).ok());
  ASSERT_EQ(element.rows.size(), 2u);
  EXPECT_EQ(element.rows[1].key[0], 3);
}

}  // namespace
}  // namespace tfcass
