"""Jobs, attempts, workers: the tables, views and functions of the first release."""

from __future__ import annotations

from alembic import context, op

from pgqueue import migrations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to version 1."""
    migrations.upgrade(
        op,  # type: ignore[arg-type]
        from_version=0,
        to_version=1,
        schema=context.config.attributes.get("schema", "pgqueue"),
    )


def downgrade() -> None:
    """Take the schema back to nothing."""
    migrations.downgrade(
        op,  # type: ignore[arg-type]
        from_version=1,
        to_version=0,
        schema=context.config.attributes.get("schema", "pgqueue"),
    )
