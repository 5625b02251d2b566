from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler


@tool
def brew(tea: str) -> str:
    """Brew a tea."""
    return f"{tea} tea"


prompt = ChatPromptTemplate.from_messages(
    [("system", "You are a tea shop."), ("human", "{question}")]
)
model = FakeListChatModel(responses=["green tea"])
chain = prompt | model | StrOutputParser()


def handler(event, context):
    return [chain.invoke({"question": "which?"}), brew.invoke({"tea": "black"})]


def unique():
    collector = RunCollectorCallbackHandler()
    chain.invoke({"question": "which?"}, config={"callbacks": [collector]})
    return {"run": str(collector.traced_runs[0].id)}
