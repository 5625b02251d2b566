namespace Thaw.Bootstrap;

/// <summary>A handler that cannot be used. Users know the name from Lambda's error reports (<c>errorType</c>).</summary>
internal sealed class LambdaValidationException(string message, Exception? cause = null) : Exception(message, cause);
