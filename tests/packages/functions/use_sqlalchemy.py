import uuid

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

engine = create_engine("sqlite://")


class Base(DeclarativeBase):
    pass


class Tea(Base):
    __tablename__ = "teas"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str]


Base.metadata.create_all(engine)
with Session(engine) as session, session.begin():
    session.add_all([Tea(name="green"), Tea(name="black")])


def handler(event, context):
    with Session(engine) as session:
        return session.scalars(select(Tea.name).order_by(Tea.name)).all()


# Each thread has a database of its own in memory.
ONE_THREAD = True


def unique():
    with Session(engine) as session:
        tea = Tea(name="white")
        session.add(tea)
        session.flush()
        return {
            "primary key": str(tea.id),
            "randomblob": session.scalar(select(func.hex(func.randomblob(8)))),
        }
