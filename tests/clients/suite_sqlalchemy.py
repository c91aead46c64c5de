"""What SQLAlchemy's dialect suite may ask of a grid; copied beside it by tests/clients/suites.py.

Open is what SQLAlchemy itself opens for PostgreSQL, closed what a grid refuses by name, with the
reason. All others are as SQLAlchemy's SuiteRequirements has them.
"""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

OPEN = """
aggregate_order_by autocommit boolean_col_expressions
cast_precision_numerics_many_significant_digits check_constraint_reflection
column_collation_reflection comment_reflection comment_reflection_full_unicode
constraint_comment_reflection create_or_replace_view create_table_as cross_schema_fk_reflection
ctes ctes_on_dml ctes_with_update_delete ctes_with_values date_historic datetime_historic
datetime_interval datetime_literals datetime_timezone default_schema_name_switch deferrable_fks
except_ expression_server_defaults fetch_expression fetch_first fetch_no_order_by
fetch_offset_with_options fetch_ties fk_constraint_option_reflection_ondelete_noaction
float_or_double_precision_behaves_generically foreign_key_constraint_name_reflection
foreign_key_constraint_option_reflection_ondelete foreign_keys_reflect_as_index identity_columns
identity_columns_standard implicit_default_schema index_ddl_if_exists indexes_check_column_order
infinity_floats inline_check_constraint_reflection intersect isolation_level json_array_indexes
json_deserializer_binary json_type legacy_unconditional_json_extract nullsordering
percent_schema_names precision_numerics_enotation_small
precision_numerics_many_significant_digits precision_numerics_retains_significant_digits
reflect_table_options reflects_pk_names regexp_match regexp_replace savepoints
schema_create_delete schemas sequences server_defaults skip_autocommit_rollback
supports_bitwise_and supports_bitwise_not supports_bitwise_or supports_bitwise_shift
supports_bitwise_xor supports_distinct_on table_ddl_if_exists table_value_constructor tuple_in
tuple_in_w_empty unicode_ddl unique_constraints_reflect_as_index update_from uuid_data_type
view_column_reflection view_reflection views window_functions window_range
window_range_non_numeric window_range_numeric
"""
CLOSED = {
    "array_type": "columns have no array types",
    "computed_columns": "generated columns are refused: a view computes them",
    "computed_columns_stored": "the same",
    "computed_columns_default_persisted": "the same",
    "computed_columns_reflect_persisted": "the same",
    "create_temp_table_as": "temporary tables are global: made once, for all sessions",
    "has_temp_table": "the same",
    "temporary_tables": "the same",
    "temp_table_names": "the same",
    "temp_table_comment_reflection": "the same",
    "temp_table_reflection": "the same",
    "temp_table_reflect_indexes": "the same",
    "temporary_views": "the same",
    "empty_strings_text": "an empty string is NULL, as in Oracle",
    "empty_strings_varchar": "the same",
    "fk_constraint_option_reflection_onupdate_restrict": "there is no ON UPDATE",
    "foreign_key_constraint_option_reflection_onupdate": "the same",
    "fk_constraint_option_reflection_ondelete_restrict": "it is NO ACTION here",
    "index_reflects_included_columns": "INCLUDE is read, and does nothing",
    "indexes_with_expressions": "indexes are of columns",
    "reflect_indexes_with_expressions": "the same",
    "materialized_views": "a materialized view names how it is distributed",
    "order_by_collation": "there is one collation",
    "reflect_tables_no_columns": "a table has columns",
    "repeated_column_foreign_keys": "a column stands once in a key",
    "time_timezone": "TT_TIME has no time zone",
}


class Requirements(SuiteRequirements):
    """The two lists."""


def _property(rule: object) -> property:
    return property(lambda self: rule)


for _name in OPEN.split():
    setattr(Requirements, _name, _property(exclusions.open()))
for _name in CLOSED:
    setattr(Requirements, _name, _property(exclusions.closed()))
