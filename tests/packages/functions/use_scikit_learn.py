import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

x = np.array([[n, n % 3] for n in range(60)], dtype=float)
y = (x[:, 0] > 30).astype(int)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)


def handler(event, context):
    return model.predict([[1.0, 1.0], [55.0, 2.0]]).tolist()


def unique():
    return {"a split": train_test_split(np.arange(1000), test_size=8)[1].tolist()}
