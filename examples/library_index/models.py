"""The application's own table: pgqueue knows nothing of it."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables of this application."""


class SourceFile(Base):
    """A file of the library. Its counts are NULL until a job has written them."""

    __tablename__ = "source_file"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int]
    functions: Mapped[int | None]
    classes: Mapped[int | None]
    lines: Mapped[int | None]
    imports: Mapped[int | None]
