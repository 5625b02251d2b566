namespace Thaw.Bootstrap;

/// <summary>
/// <c>Assembly::Namespace.Type::Method</c>. The type is written as for <c>Assembly.GetType</c> (<c>Outer+Nested</c>).
/// </summary>
internal sealed record HandlerName(string Assembly, string Type, string Method)
{
    /// <exception cref="LambdaValidationException">The text is not of this form.</exception>
    public static HandlerName Parse(string text)
    {
        var parts = text.Split("::", StringSplitOptions.TrimEntries);
        return parts is [{ Length: > 0 } assembly, { Length: > 0 } type, { Length: > 0 } method]
            ? new(assembly, type, method)
            : throw new LambdaValidationException(
                $"the handler '{text}' cannot be read. The valid format is 'ASSEMBLY::TYPE::METHOD'");
    }
}
