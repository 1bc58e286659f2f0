#include "ops/fetch/secrets.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace tfcass {
namespace {

TEST(SecretsTest, ResolvesTheEnvironment) {
  setenv("TFCASS_TEST_SECRET", "s3cret", 1);
  std::string value;
  ASSERT_TRUE(ResolveSecret("env:TFCASS_TEST_SECRET", &value).ok());
  EXPECT_EQ(value, "s3cret");
}

TEST(SecretsTest, ResolvesAFileWithoutItsNewline) {
  const std::string path = testing::TempDir() + "/secret";
  std::ofstream(path) << "s3cret \n";
  std::string value;
  ASSERT_TRUE(ResolveSecret("file:" + path, &value).ok());
  EXPECT_EQ(value, "s3cret ");
}

TEST(SecretsTest, ResolvesTheProcessRegistryAndReplaces) {
  PutSecret("one", "first");
  PutSecret("one", "second");
  std::string value;
  ASSERT_TRUE(ResolveSecret("process:one", &value).ok());
  EXPECT_EQ(value, "second");
}

TEST(SecretsTest, AnAbsentSecretIsNamedByItsReference) {
  unsetenv("TFCASS_TEST_ABSENT");
  std::string value;
  const Status environment = ResolveSecret("env:TFCASS_TEST_ABSENT", &value);
  EXPECT_EQ(environment.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(environment.message(),
            "the password's environment variable TFCASS_TEST_ABSENT is not set; export it, or change password_env");
  const Status file = ResolveSecret("file:/nowhere/secret", &value);
  EXPECT_EQ(file.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(file.message(), "the password file /nowhere/secret cannot be read; check its path and permissions");
  EXPECT_EQ(ResolveSecret("process:absent", &value).code(), StatusCode::kFailedPrecondition);
}

TEST(SecretsTest, AReferenceOfNoKnownKindIsNotRepeated) {
  std::string value;
  for (const char* reference : {"hunter2", "hunter2:x", "env:", ""}) {  // "hunter2" may be the password itself.
    const Status status = ResolveSecret(reference, &value);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << reference;
    EXPECT_EQ(status.message().find("hunter2"), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace tfcass
