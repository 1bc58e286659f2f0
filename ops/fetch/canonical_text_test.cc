#include "ops/fetch/canonical_text.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

TEST(CanonicalTextTest, TakesValuesOfEachType) {
  CanonicalText fields;
  ASSERT_TRUE(CanonicalText::Parse("count=-3\nname=a%3Db%0A%C3%A9\non=1\nratio=2.5\n", "test", &fields).ok());
  std::string name;
  int64_t count = 0;
  double ratio = 0;
  bool on = false;
  EXPECT_TRUE(fields.Take("name", &name).ok());
  EXPECT_TRUE(fields.Take("count", &count).ok());
  EXPECT_TRUE(fields.Take("ratio", &ratio).ok());
  EXPECT_TRUE(fields.Take("on", &on).ok());
  EXPECT_TRUE(fields.CheckAllTaken().ok());
  EXPECT_EQ(name, "a=b\n\xC3\xA9");
  EXPECT_EQ(count, -3);
  EXPECT_EQ(ratio, 2.5);
  EXPECT_TRUE(on);
}

TEST(CanonicalTextTest, AbsentLeavesTheDefault) {
  CanonicalText fields;
  ASSERT_TRUE(CanonicalText::Parse("", "test", &fields).ok());
  int64_t count = 7;
  EXPECT_TRUE(fields.Take("count", &count).ok());
  EXPECT_EQ(count, 7);
}

TEST(CanonicalTextTest, EncodingSurvivesEveryByte) {
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  CanonicalText fields;
  ASSERT_TRUE(CanonicalText::Parse("value=" + PercentEncode(every) + "\n", "test", &fields).ok());
  std::string value;
  ASSERT_TRUE(fields.Take("value", &value).ok());
  EXPECT_EQ(value, every);
}

struct BadText {
  const char* text;
  const char* message;
};

TEST(CanonicalTextTest, RefusesWhatIsNotCanonical) {
  for (const auto& [text, message] :
       {BadText{"name\n", "test: a line is not name=value"}, BadText{"=x\n", "test: a line is not name=value"},
        BadText{"a=1\na=2\n", "test: a is given twice"},
        BadText{"a=%4\n", "test: the value of a is not percent-encoded"},
        BadText{"a=%zz\n", "test: the value of a is not percent-encoded"}}) {
    CanonicalText fields;
    const Status status = CanonicalText::Parse(text, "test", &fields);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(status.message(), message);
  }
}

TEST(CanonicalTextTest, RefusesAValueOfAnotherType) {
  CanonicalText fields;
  ASSERT_TRUE(CanonicalText::Parse("a=1.5\nb=\nc=2\nd=99999999999999999999\n", "test", &fields).ok());
  int64_t integer = 0;
  double number = 0;
  bool flag = false;
  EXPECT_EQ(fields.Take("a", &integer).message(), "test: a=1.5 is not a whole number");
  EXPECT_EQ(fields.Take("b", &number).message(), "test: b= is not a number");
  EXPECT_EQ(fields.Take("c", &flag).message(), "test: c=2 is not 0 or 1");
  EXPECT_EQ(fields.Take("d", &integer).message(), "test: d=99999999999999999999 is not a whole number");
}

TEST(CanonicalTextTest, NamesASettingThatNobodyKnows) {
  CanonicalText fields;
  ASSERT_TRUE(CanonicalText::Parse("newer=1\n", "options", &fields).ok());
  const Status status = fields.CheckAllTaken();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find("options: newer is unknown to this op library"), 0u) << status.message();
}

}  // namespace
}  // namespace tfcass
