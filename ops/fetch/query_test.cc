#include "ops/fetch/query.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

TEST(QuerySpecTest, CqlQuotesEveryName) {
  const QuerySpec query{"ks.Data", "patch_id", {{"label", CellType::kInt32}, {"od\"d", CellType::kBytes}}};
  EXPECT_EQ(query.Cql(), R"(SELECT "patch_id", "label", "od""d" FROM "ks"."Data" WHERE "patch_id" = ?)");
  EXPECT_EQ(query.GroupedCql(), R"(SELECT "patch_id", "label", "od""d" FROM "ks"."Data" WHERE "patch_id" IN ?)");
}

TEST(QuerySpecTest, RefusesBadNames) {
  for (const char* table : {"data", "ks.", ".data", "a.b.c", ""}) {
    const Status status = QuerySpec{table, "id", {}}.Validate();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << table;
    EXPECT_EQ(status.message(), "table '" + std::string(table) + "' is not keyspace.table");
  }
  EXPECT_EQ((QuerySpec{"ks.t", "", {}}).Validate().message(), "the key column of ks.t has no name");
  EXPECT_EQ((QuerySpec{"ks.t", "id", {{"", CellType::kBytes}}}).Validate().message(), "a column of ks.t has no name");
  EXPECT_TRUE((QuerySpec{"ks.t", "id", {}}).Validate().ok());
}

TEST(CellTypeTest, TakesTheCqlTypesItSays) {
  EXPECT_TRUE(Accepts(CellType::kBytes, CASS_VALUE_TYPE_BLOB));
  EXPECT_TRUE(Accepts(CellType::kBytes, CASS_VALUE_TYPE_VARCHAR));
  EXPECT_FALSE(Accepts(CellType::kBytes, CASS_VALUE_TYPE_INT));
  EXPECT_TRUE(Accepts(CellType::kInt64, CASS_VALUE_TYPE_BIGINT));
  EXPECT_FALSE(Accepts(CellType::kInt64, CASS_VALUE_TYPE_INT));
  EXPECT_TRUE(Accepts(CellType::kUuid, CASS_VALUE_TYPE_TIMEUUID));
  EXPECT_FALSE(Accepts(CellType::kUuid, CASS_VALUE_TYPE_BLOB));
}

}  // namespace
}  // namespace tfcass
