"""What all tables share."""

from sqlalchemy import DateTime, MetaData

__all__ = ["TIMESTAMP", "metadata"]

metadata = MetaData()
TIMESTAMP = DateTime(timezone=True)
