// ScanSpec: which columns of which rows of which table.
#ifndef TFCASS_OPS_FETCH_SCAN_SCAN_SPEC_H_
#define TFCASS_OPS_FETCH_SCAN_SCAN_SPEC_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "ops/driver/driver_types.h"
#include "ops/fetch/status.h"

namespace tfcass {

// How a column's values lie in a page (column_page.h).
enum class Layout {
  kBytes,    // blob and the texts as they are; inet as text
  kInt8,     // tinyint
  kInt16,    // smallint
  kInt32,    // int; date as days since 1970
  kInt64,    // bigint, counter; timestamp as milliseconds since 1970
  kFloat,    // float
  kDouble,   // double
  kBoolean,  // boolean, a byte each
  kUuid,     // uuid, timeuuid: 16 bytes each
};

// Bytes of a value; 0 when that varies.
size_t WidthOf(Layout layout);

struct ScanColumn {
  std::string name;
  std::string cql_type;  // "int": as the schema names it.

  // Filled in by Validate().
  CassValueType type = CASS_VALUE_TYPE_UNKNOWN;
  Layout layout = Layout::kBytes;
};

// Rows must have one of these values, given as on the wire, in this column. A null is none of them.
struct ScanFilter {
  size_t column = 0;                // Index in ScanSpec::columns.
  std::vector<std::string> values;  // Sorted by Validate().
};

struct ScanSpec {
  std::string table;                // "keyspace.table", names as the schema has them: quoted here.
  std::vector<ScanColumn> columns;  // The asked ones, then those that only filters look at. At least one.
  size_t asked = 0;                 // How many are asked.
  std::vector<std::string> partition_key;
  std::string where;                // CQL that the server compares, as in `"x" = ? AND "y" = ?`, or empty.
  std::vector<std::string> values;  // Of its question marks, as on the wire.
  std::vector<ScanFilter> filters;  // Compared here: for what the server cannot.

  // When there are some, only these partitions are read: each a value, as on the wire, for each column of the key. Else
  // the whole ring is.
  bool by_partition = false;
  std::vector<std::vector<std::string>> partitions;

  // InvalidArgument naming what contradicts itself, or a column whose type cannot be read.
  Status Validate();

  // From canonical text (canonical_text.h): table=, columns=2, column.0=, type.0=, ..., asked=, keys=1, key.0=, where=,
  // values=1, value.0=, filters=1, filter.0=<column>, filter.0.values=1, filter.0.0=, by_partition=1, partitions=1,
  // partition.0.0=. The result is valid.
  static Status Parse(std::string_view text, ScanSpec* spec);

  std::string Keyspace() const { return table.substr(0, table.find('.')); }

  // SELECT ... FROM ... WHERE token("a", "b") > ? AND token("a", "b") <= ? [AND <where> ALLOW FILTERING]; by partition,
  // WHERE "a" = ? AND "b" = ? ... instead. Its first question marks are the part's, the others of `values`.
  std::string Cql() const;

  // Tells apart what must not share a checkpoint: the statement and all that is bound to it or compared here.
  std::string Fingerprint() const;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SCAN_SCAN_SPEC_H_
