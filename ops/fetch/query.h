// QuerySpec: which columns of which table, and of which types.
#ifndef TFCASS_OPS_FETCH_QUERY_H_
#define TFCASS_OPS_FETCH_QUERY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "ops/driver/driver_types.h"
#include "ops/fetch/status.h"

namespace tfcass {

// What a cell's bytes mean to the caller.
enum class CellType {
  kBytes,    // blob, text, varchar, ascii
  kInt8,     // tinyint
  kInt16,    // smallint
  kInt32,    // int
  kInt64,    // bigint
  kFloat,    // float
  kDouble,   // double
  kBoolean,  // boolean
  kUuid,     // uuid, timeuuid
};

struct ColumnSpec {
  std::string name;
  CellType type;
};

struct QuerySpec {
  std::string table;                // "keyspace.table", names as the schema has them: quoted here.
  std::string key_column;           // The table's whole primary key, a uuid or timeuuid.
  std::vector<ColumnSpec> columns;  // The asked columns, without the key column unless it is asked for again.

  // InvalidArgument unless the table is "keyspace.table" and no name is empty.
  Status Validate() const;

  // SELECT "key", "column", ... FROM "keyspace"."table" WHERE "key" = ?
  std::string Cql() const;
  // ... WHERE "key" IN ?
  std::string GroupedCql() const;
};

// "blob or text", "int", ...: the CQL types that a CellType takes.
const char* CqlTypesOf(CellType type);

// Whether a column of the CQL type `found` can be read as `expected`.
bool Accepts(CellType expected, CassValueType found);

// The type's CQL name, for messages.
const char* CqlName(CassValueType type);

// Bytes of a value of this type; 0 when that varies.
size_t FixedWidth(CellType type);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_QUERY_H_
