"""Alembic's entry for pgqueue's own history; `pgqueue.store.migrate` sets the attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context

from pgqueue.store.tables import metadata

if TYPE_CHECKING:
    import sqlalchemy as sa

config = context.config
schema: str = config.attributes.get("schema", "pgqueue")

if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # with the driver's own style each % is doubled
        literal_binds=True,
        version_table_schema=schema,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        # Alembic prints the making of its version table before anything else.
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        context.run_migrations()
else:
    connection: sa.Connection = config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=schema,
        include_schemas=True,
    )
    with context.begin_transaction():
        context.run_migrations()
