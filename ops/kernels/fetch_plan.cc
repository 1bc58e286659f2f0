#include "ops/kernels/fetch_plan.h"

#include "absl/strings/str_cat.h"
#include "ops/kernels/op_inputs.h"
#include "ops/kernels/tf_status.h"
#include "tensorflow/core/platform/errors.h"

namespace tfcass {

absl::Status FetchPlan::Resolve() {
  TF_RETURN_IF_ERROR(ToTfStatus(ClusterConfig::Parse(cluster_text, &cluster)));
  TF_RETURN_IF_ERROR(ToTfStatus(FetchOptions::Parse(options_text, &options)));
  if (columns.empty()) return absl::InvalidArgumentError("columns is empty: it must begin with the key column");
  query.table = table;
  query.key_column = columns[0];
  for (size_t i = 1; i < columns.size(); ++i) query.columns.push_back({columns[i], CellType::kBytes});
  components = ComponentsOf(query, options.missing);
  TF_RETURN_IF_ERROR(CheckOutputs(components, output_types, output_shapes));
  for (size_t i = 0; i < components.size(); ++i) {
    CellType type;
    TF_RETURN_IF_ERROR(CellTypeOf(output_types[i], &type));
    const Component& component = components[i];
    if (component.source == Component::Source::kCell) {
      query.columns[component.cell].type = type;
    } else if (type != (component.source == Component::Source::kKey ? CellType::kUuid : CellType::kBoolean)) {
      return absl::InvalidArgumentError(absl::StrCat(tensorflow::DataTypeString(output_types[i]), " in output_types[",
                                                     i, "] does not fit column ", component.name));
    }
  }
  return ToTfStatus(query.Validate());
}

}  // namespace tfcass
